import { InvalidArgumentError } from "commander";
import type { Scope } from "../core/principal.ts";
import { scopes } from "../core/principal.ts";

/** What may be said in arguments. Each throws commander's own error, with a sentence. */

export const clientNames = [
  "cursor",
  "claude",
  "claude-code",
  "vscode",
  "windsurf",
  "inspector",
] as const;

/** What the server takes for the name of a user or a workspace. */
export function identity(text: string): string {
  if (!/^[^\p{Cc}\p{Cf}]{1,256}$/u.test(text)) {
    throw new InvalidArgumentError("It must be 1 to 256 printable characters.");
  }
  return text;
}

export function wholeNumber(text: string): number {
  if (!/^\d{1,9}$/.test(text) || Number(text) === 0) {
    throw new InvalidArgumentError("It must be a whole number above 0.");
  }
  return Number(text);
}

/** The most of those that are named. */
export function scope(text: string): Scope {
  const names = text.split(",").map((name) => name.trim());
  const most = scopes.findLast((known) => names.includes(known));
  if (most && names.every((name) => scopes.some((known) => known === name))) {
    return most;
  }
  throw new InvalidArgumentError(`It must be one of ${scopes.join(", ")}.`);
}

export const units = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

export function duration(text: string): number {
  const match = /^(\d{1,6})(s|m|h|d)$/.exec(text);
  if (!match || Number(match[1]) === 0) {
    throw new InvalidArgumentError(
      "It must be a duration such as 90s, 15m, 2h or 30d.",
    );
  }
  return Number(match[1]) * units[match[2] as keyof typeof units];
}
