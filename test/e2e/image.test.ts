import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  statSync,
  symlinkSync,
} from "node:fs";
import { join } from "node:path";
import { mintToken } from "../../src/demo/token.ts";
import type { DemoWorkspace } from "../../src/demo/workspace.ts";
import { SECRET, WORKSPACE_KEY, launch, succeeds } from "../support/binary.ts";
import { freePort } from "../support/port.ts";
import type { Run } from "../support/binary.ts";
import { call, createCaller, listTools } from "../support/caller.ts";
import { openWorkspace } from "../support/demo-client.ts";
import { temporaryDirectory } from "../support/directory.ts";
import { oddWorld } from "../support/odd-world.ts";

/**
 * The image without a container engine: the Dockerfile's build steps run in a clean directory that holds what
 * its COPY lines and .dockerignore let in, and what the final stage copies runs as the root of a file system of
 * its own, read-only, as the image's user. What this cannot show: that the base image is what it says.
 */

const root = join(import.meta.dir, "../..");
const canRun = process.getuid?.() === 0 && succeeds("unshare", "-m", "true");

type Step = { name: string; text: string };
type Stage = Step[];

/** The stages of a Dockerfile, each a list of instructions. */
function readStages(file: string): Stage[] {
  const stages: Stage[] = [];
  for (const line of readFileSync(file, "utf8").split("\n")) {
    const [, name, text] = /^([A-Z]+) (.*)$/.exec(line) ?? [];
    if (name === undefined || text === undefined) continue;
    if (name === "FROM") stages.push([]);
    stages.at(-1)!.push({ name, text });
  }
  return stages;
}

const stages = readStages(join(root, "Dockerfile"));
const build = stages[0]!;
const final = stages[1]!;
const all = (stage: Stage, name: string) =>
  stage.filter((step) => step.name === name).map(({ text }) => text);

describe.skipIf(!canRun)("the image", () => {
  let scratch: ReturnType<typeof temporaryDirectory>;
  let workspace: DemoWorkspace;
  let image: string;
  let data: string;
  let port: string;
  const env = () => ({
    ...Object.fromEntries(
      all(final, "ENV").flatMap((text) =>
        text.split(" ").map((pair) => pair.split("=") as [string, string]),
      ),
    ),
    PORT: port,
    MEMBRANE_API_URI: workspace.url.replace("127.0.0.1", "membrane.test"),
    MEMBRANE_WORKSPACE_KEY: WORKSPACE_KEY,
    MEMBRANE_WORKSPACE_SECRET: SECRET,
  });

  /** One process in a container of ours. */
  function enter(command: string[]): Run {
    const [user] = all(final, "USER");
    const script = `
      mount --bind "$0" "$0" && mount --rbind /proc "$0/proc" && mount --rbind /dev "$0/dev" &&
      mount -o remount,ro,bind "$0" && mount --bind "$1" "$0/data" && shift &&
      exec chroot --userspec=${user} --groups= "$0" "$@"`;
    return launch(
      ["unshare", "-m", "sh", "-c", script, image, data, ...command],
      { ...env(), PATH: "/usr/sbin:/usr/bin:/sbin:/bin" },
      "/",
    );
  }
  const json = (texts: string[]) => JSON.parse(texts.at(-1)!) as string[];
  const entrypoint = json(all(final, "ENTRYPOINT"));

  beforeAll(async () => {
    scratch = temporaryDirectory();
    port = String(freePort());
    workspace = openWorkspace(oddWorld({ bigActions: 3 }), {
      workspaceKey: WORKSPACE_KEY,
      secret: SECRET,
    });
    const folder = join(scratch.path, "build");
    mkdirSync(folder);
    const bin = join(scratch.path, "bin");
    mkdirSync(bin);
    symlinkSync(process.execPath, join(bin, "bun"));
    const allowed = new Set(
      readFileSync(join(root, ".dockerignore"), "utf8")
        .split("\n")
        .filter((line) => line.startsWith("!"))
        .map((line) => line.slice(1)),
    );
    const args = new Map<string, string>();
    for (const { name, text } of build) {
      if (name === "ARG") {
        const [key, value = ""] = text.split("=");
        args.set(key!, value);
      } else if (name === "COPY") {
        const paths = text.split(" ");
        const to = paths.pop()!;
        for (const path of paths) {
          if (!allowed.has(path)) throw new Error(`${path} is ignored`);
          const into = to.endsWith("/") ? join(to, path) : to;
          cpSync(join(root, path), join(folder, into), { recursive: true });
        }
      } else if (name === "RUN") {
        const step = Bun.spawnSync(["sh", "-ec", text], {
          cwd: folder,
          env: {
            ...process.env,
            ...Object.fromEntries(args),
            PATH: `${bin}:/usr/bin:/bin`,
          },
        });
        if (!step.success) throw new Error(`${text}\n${step.stderr}`);
      }
    }
    image = join(scratch.path, "image");
    mkdirSync(image, { mode: 0o755 });
    for (const text of all(final, "COPY")) {
      const [, owner = "0:0", from, to] =
        /^--from=build (?:--chown=(\S+) )?\/build\/(\S+) (\S+)$/.exec(text)!;
      const into = join(image, to!);
      const copied = succeeds("cp", "-rT", join(folder, from!), into);
      const given = succeeds("chown", "-R", owner, into);
      expect([text, copied, given]).toEqual([text, true, true]);
    }
    // A volume begins as what the image has in its place.
    data = join(scratch.path, "data");
    cpSync(join(image, "data"), data, { recursive: true });
    succeeds("chown", "--reference", join(image, "data"), data);
  }, 120_000);

  afterAll(async () => {
    await workspace.close();
    scratch[Symbol.dispose]();
  });

  test("holds the executable, the C library, and nothing else", () => {
    const files = readdirSync(image, { recursive: true, withFileTypes: true })
      .filter((entry) => !entry.isDirectory())
      .map(({ parentPath, name }) =>
        join(parentPath, name).slice(image.length),
      );
    expect(
      files
        .filter((file) => !/^\/lib(64)?\/.*\.so\.\d+$/.test(file))
        .toSorted(),
    ).toEqual(["/etc/nsswitch.conf", "/membrane-mcp"]);
    expect(files.some((file) => file.endsWith("/libc.so.6"))).toBe(true);
    expect(statSync(join(image, "membrane-mcp"))).toMatchObject({ uid: 0 });
  });

  test("serves as its own user on a read-only root, is healthy, and keeps what it was told", async () => {
    // A container engine makes these.
    for (const folder of ["proc", "dev"]) mkdirSync(join(image, folder));
    appendFileSync(join(image, "etc/hosts"), "127.0.0.1 membrane.test\n");

    const serve = json(all(final, "CMD"));
    const check = JSON.parse(
      all(final, "HEALTHCHECK")[0]!.split(" CMD ")[1]!,
    ) as string[];
    const first = enter([...entrypoint, ...serve]);
    await first.printed('"event":"listening"');
    const healthy = enter(check);
    expect([await healthy.exited, JSON.parse(healthy.stdout())]).toEqual([
      0,
      expect.objectContaining({ status: "ok" }),
    ]);

    const status = readFileSync(`/proc/${first.pid}/status`, "utf8");
    expect(status).toMatch(/^Uid:\t65532\t65532\t65532\t65532$/m);
    expect(status).toMatch(/^CapEff:\t0+$/m);

    const caller = createCaller(`http://127.0.0.1:${port}`, (user) =>
      mintToken({ workspaceKey: WORKSPACE_KEY, secret: SECRET, user }),
    );
    const session = await caller.open("ada");
    const headers = { "mcp-session-id": session };
    // By name, and through the SDK that is loaded at the first call.
    const { body } = await caller.post("ada", call("lab_echo", { a: 1 }), {
      ...headers,
      accept: "application/json",
    });
    expect(body.result.structuredContent).toMatchObject({ a: 1 });
    for (const name of readdirSync(data)) {
      const { uid, mode } = statSync(join(data, name));
      expect([name, uid, mode & 0o777]).toEqual([name, 65532, 0o600]);
    }
    expect(existsSync(join(image, "data/membrane-mcp.db"))).toBe(false);

    first.kill("SIGTERM");
    expect(await first.exited).toBe(0);
    const dead = enter(check);
    expect(await dead.exited).toBe(69);
    expect(dead.stderr()).toContain("Nobody answers");

    const second = enter([...entrypoint, ...serve]);
    await second.printed('"event":"listening"');
    expect((await caller.post("ada", listTools, headers)).status).toBe(200);
    await caller.close();
    second.kill("SIGTERM");
    expect(await second.exited).toBe(0);
  }, 60_000);
});
