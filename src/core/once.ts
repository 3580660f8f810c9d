/** Makes a value at its first use. Shapes and caches are: to build all of them would take a fifth of the start. */
export function once<T>(make: () => T): () => T {
  let made: { value: T } | undefined;
  return () => (made ??= { value: make() }).value;
}
