import { chmodSync, existsSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { brotliDecompressSync } from "node:zlib";

/**
 * A browser for the tests, on a Linux (x64) that may have nothing but Node and npm: its path is the last line that this
 * prints. It is no dependency, as nobody but the tests wants 70 MB; the libraries and the font that a bare machine lacks
 * come in the same package.
 */

const VERSION = "153.0.0";
const INTEGRITY =
  "jiGWqSvPMdu4+P9TilYqAR7yEGPEHINx+lCvE/NqNO/EHYzF/x1hUiI5T6ioVIt7dEy7n88byyT0vk+dnsgQwA==";

const FONTS = `<?xml version="1.0"?>
<fontconfig><dir prefix="relative">fonts</dir></fontconfig>
`;
const START = `#!/bin/sh
here=\${0%/*}
export LD_LIBRARY_PATH="$here/lib" FONTCONFIG_PATH="$here"
exec "$here/chromium" "$@"
`;

const cache = join(import.meta.dir, "../node_modules/.cache");
const folder = join(cache, `chromium-${VERSION}`);
const chrome = join(folder, "chrome");

async function install(): Promise<void> {
  const making = `${folder}.making`;
  rmSync(making, { recursive: true, force: true });
  const name = `@sparticuz/chromium@${VERSION}`;
  await Bun.write(join(making, "package.json"), "{}");
  const packed = Bun.spawnSync(["npm", "pack", "--silent", name], {
    cwd: making,
    stderr: "inherit",
  });
  if (!packed.success) throw new Error(`npm pack ${name} failed.`);
  const file = join(making, packed.stdout.toString().trim());
  const bytes = await Bun.file(file).bytes();
  rmSync(file);
  const digest = new Bun.CryptoHasher("sha512").update(bytes).digest("base64");
  if (digest !== INTEGRITY) throw new Error(`${name} is not what it was.`);
  const files = await new Bun.Archive(bytes).files();
  const unpack = async (path: string) =>
    brotliDecompressSync(
      await files.get(`package/bin/${path}.br`)!.arrayBuffer(),
    );
  await Bun.write(join(making, "chromium"), await unpack("chromium"));
  await new Bun.Archive(await unpack("al2023.tar")).extract(making);
  await new Bun.Archive(await unpack("fonts.tar")).extract(making);
  await Bun.write(join(making, "fonts.conf"), FONTS);
  await Bun.write(join(making, "chrome"), START);
  for (const program of ["chromium", "chrome"]) {
    chmodSync(join(making, program), 0o755);
  }
  renameSync(making, folder);
}

if (!existsSync(chrome)) await install();
const { success } = Bun.spawnSync([chrome, "--version"], { stderr: "inherit" });
if (!success) throw new Error(`${chrome} does not run here.`);
console.log(chrome);
