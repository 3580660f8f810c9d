/** Makes a value at its first use. Shapes are: to build all of them would take a tenth of the start. */
export function once<T>(make: () => T): () => T {
  let made: { value: T } | undefined;
  return () => (made ??= { value: make() }).value;
}
