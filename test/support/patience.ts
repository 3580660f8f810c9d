import { plugin } from "bun";

/**
 * Tests have half a minute each: one that waits for what never comes ends, one on a busy machine does not.
 * `setDefaultTimeout` counts for the file that calls it, so each of them does.
 */
plugin({
  name: "patience",
  setup(build) {
    build.onLoad({ filter: /\.test\.ts$/ }, async ({ path }) => ({
      contents: `import { setDefaultTimeout as wait } from "bun:test"; wait(30_000); ${await Bun.file(path).text()}`,
      loader: "ts",
    }));
  },
});
