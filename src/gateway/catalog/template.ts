/**
 * Whether a URI is one of a template's (RFC 6570). Templates and URIs come from others, so that both reading a
 * template and comparing take steps in proportion to their lengths and no more, whatever they contain: there is no
 * backtracking, and no search that begins again.
 */
export type UriTemplate = (uri: string) => boolean;

/** Expressions that stand for nothing when their variables have no value. */
const OPTIONAL = new Set("./;?&#");

/** Text between expressions, and how many characters the expressions before it stand for at least. */
type Literal = { text: string; gap: number; failures: Uint32Array };

export function readTemplate(template: string): UriTemplate {
  const texts: string[] = [];
  const gaps: number[] = [];
  let start = 0;
  for (;;) {
    const open = template.indexOf("{", start);
    const close = open < 0 ? -1 : template.indexOf("}", open);
    if (close < 0) break;
    texts.push(template.slice(start, open));
    gaps.push(OPTIONAL.has(template[open + 1]!) ? 0 : 1);
    start = close + 1;
  }
  const last = template.slice(start);
  const first = texts.shift();
  if (first === undefined) return (uri) => uri === template;
  const between: Literal[] = [];
  // Expressions side by side are as one.
  let gap = gaps.shift()!;
  for (const [n, text] of texts.entries()) {
    if (text !== "") {
      between.push({ text, gap, failures: failuresOf(text) });
      gap = 0;
    }
    gap += gaps[n]!;
  }

  return (uri) => {
    if (!uri.startsWith(first) || !uri.endsWith(last)) return false;
    const end = uri.length - last.length;
    let at = first.length;
    // The first place is the best for each: whatever fits after a later one fits after it.
    for (const literal of between) {
      at = find(literal, uri, at + literal.gap, end);
      if (at < 0) return false;
    }
    return at + gap <= end;
  };
}

/** Where the text ends when it is found between two places, or -1 (Knuth, Morris and Pratt). */
function find(
  { text, failures }: Literal,
  uri: string,
  from: number,
  to: number,
): number {
  let matched = 0;
  for (let at = from; at < to; at++) {
    while (matched > 0 && uri[at] !== text[matched]) {
      matched = failures[matched - 1]!;
    }
    if (uri[at] === text[matched]) matched++;
    if (matched === text.length) return at + 1;
  }
  return -1;
}

/** For each beginning of the text: how long an end of it is that is a beginning too. */
function failuresOf(text: string): Uint32Array {
  const failures = new Uint32Array(text.length);
  let matched = 0;
  for (let at = 1; at < text.length; at++) {
    while (matched > 0 && text[at] !== text[matched]) {
      matched = failures[matched - 1]!;
    }
    if (text[at] === text[matched]) matched++;
    failures[at] = matched;
  }
  return failures;
}
