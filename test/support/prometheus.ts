/** One line of what a scrape answers. */
export type Sample = {
  name: string;
  labels: Record<string, string>;
  value: number;
};

export type Scraped = {
  /** What was announced, by name. */
  families: Map<string, { type: string; help: string }>;
  samples: Sample[];
  /** The value of one sample: of this name, with at least these labels; the sum when there are several. */
  value(name: string, labels?: Record<string, string>): number;
};

const SUFFIXES: Record<string, RegExp> = {
  histogram: /_(bucket|sum|count)$/,
  counter: /_total$/,
};

/**
 * Reads the text that Prometheus scrapes, and throws for whatever it would refuse: a line of another form, a sample of
 * no family, a family or sample that comes twice, buckets that shrink. `open`: OpenMetrics, which ends with `# EOF` and
 * names families of counters without `_total`.
 */
export function parseMetrics(text: string, open = false): Scraped {
  const families: Scraped["families"] = new Map();
  const samples: Sample[] = [];
  const seen = new Set<string>();
  const lines = text.split("\n");
  if (lines.pop() !== "") throw new Error("The last line has no end.");
  if (open && lines.pop() !== "# EOF") throw new Error("There is no # EOF.");
  for (const line of lines) {
    if (line === "" && !open) continue;
    const [, help, ofHelp, words] = /^# (HELP) (\w+) (\S.*)$/.exec(line) ?? [];
    if (help) {
      if (families.has(ofHelp!)) throw new Error(`${ofHelp} comes twice.`);
      families.set(ofHelp!, { type: "", help: words! });
      continue;
    }
    const [, ofType, type] =
      /^# TYPE (\w+) (counter|gauge|histogram)$/.exec(line) ?? [];
    if (ofType) {
      const family = families.get(ofType);
      if (!family || family.type) throw new Error(`No HELP before: ${line}`);
      family.type = type!;
      continue;
    }
    const sample = readSample(line);
    const family = [...families].at(-1);
    if (!family) throw new Error(`Of no family: ${line}`);
    const [name, { type: kind }] = family;
    const bare = sample.name.replace(SUFFIXES[kind] ?? /$^/, "");
    if (sample.name !== name && bare !== name) {
      throw new Error(`Not of ${name}: ${line}`);
    }
    const key = JSON.stringify([
      sample.name,
      Object.entries(sample.labels).sort(),
    ]);
    if (seen.has(key)) throw new Error(`Twice: ${line}`);
    seen.add(key);
    samples.push(sample);
  }
  checkBuckets(samples);
  return {
    families,
    samples,
    value: (name, labels = {}) =>
      samples
        .filter(
          (one) =>
            one.name === name &&
            Object.entries(labels).every(([key, is]) => one.labels[key] === is),
        )
        .reduce((sum, { value }) => sum + value, 0),
  };
}

function readSample(line: string): Sample {
  const match =
    /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\[\\"n])*",?)*)\})? (\+Inf|-?[0-9.]+(?:e[+-]?\d+)?)$/.exec(
      line,
    );
  if (!match) throw new Error(`Not a sample: ${line}`);
  const [, name, inside = "", value] = match;
  const labels = Object.fromEntries(
    [...inside.matchAll(/([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g)].map((one) => [
      one[1]!,
      one[2]!,
    ]),
  );
  return {
    name: name!,
    labels,
    value: Number(value!.replace("+Inf", "Infinity")),
  };
}

function checkBuckets(samples: Sample[]): void {
  const buckets = samples.filter(({ name }) => name.endsWith("_bucket"));
  const series = Map.groupBy(buckets, ({ name, labels }) =>
    JSON.stringify([name, { ...labels, le: undefined }]),
  );
  for (const [key, of] of series) {
    const values = of.map(({ value }) => value);
    if (values.some((value, i) => value < (values[i - 1] ?? 0))) {
      throw new Error(`The buckets of ${key} shrink.`);
    }
    if (of.at(-1)!.labels["le"] !== "+Inf") throw new Error(`${key} ends.`);
  }
}
