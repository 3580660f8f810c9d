/** Preloaded into programs that would listen on every interface: they listen on 127.0.0.1. */
import { Server } from "node:http";

type Listen = (...args: unknown[]) => Server;
const listen = Server.prototype.listen as Listen;
Server.prototype.listen = function (this: Server, ...args: unknown[]) {
  const [port, ...rest] = args;
  return listen.call(this, Number(port), "127.0.0.1", ...rest);
} as typeof Server.prototype.listen;
