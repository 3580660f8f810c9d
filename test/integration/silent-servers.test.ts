import { expect, test } from "bun:test";
import { openGateway } from "../support/gateway.ts";
import { openEvil } from "../support/servers/evil.ts";

/** Who registers a server is told that it does not answer, whatever it is that it does not answer. */

const unreachable = {
  state: "register",
  enabled: false,
  lastError: {
    code: "upstream_unreachable",
    message: "The server could not be reached.",
  },
};

test.each(["initialize", "tools/list"])(
  "a server that does not answer %s in time could not be reached",
  async (method) => {
    await using gateway = await openGateway({ times: { connect: 200 } });
    await using evil = await openEvil({ era: "legacy" });
    evil.behave("hang", { on: [method] });
    const { id } = await gateway.manage("POST", "", {
      name: "silent",
      url: evil.url,
      transport: "http",
    });
    expect(await gateway.manage("POST", `/${id}/enable`)).toMatchObject(
      unreachable,
    );
    expect(await gateway.manage("POST", `/${id}/test`)).toMatchObject({
      success: false,
      failureClass: "transport",
    });
  },
);
