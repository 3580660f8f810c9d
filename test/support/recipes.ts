import { join } from "node:path";

const readme = await Bun.file(join(import.meta.dir, "../../README.md")).text();

/**
 * A client of the README: the first block of this language, or the `nth` after it, below a heading. As it stands there,
 * but for the server and the tool.
 */
export function recipe(
  heading: string,
  language: string,
  url: string,
  nth = 0,
): string {
  const section = readme.split(`\n${heading}\n`)[1]!.split(/\n##+ /)[0]!;
  const blocks = section.matchAll(
    new RegExp(`\`\`\`${language}\n([^]*?)\`\`\``, "g"),
  );
  const code = blocks.toArray()[nth]![1]!;
  return code
    .replaceAll("https://mcp.example.com", url)
    .replaceAll("wss://mcp.example.com", url.replace("http", "ws"))
    .replaceAll("notes_list-notes", "lab_echo");
}
