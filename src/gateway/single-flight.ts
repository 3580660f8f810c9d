/** Runs what is asked for under one key once at a time: who asks while it runs gets what it comes to. */
export function createSingleFlight<T>(): (
  key: string,
  run: () => Promise<T>,
) => Promise<T> {
  const flights = new Map<string, Promise<T>>();
  return (key, run) => {
    const under = flights.get(key);
    if (under) return under;
    const flight = run().finally(() => flights.delete(key));
    flights.set(key, flight);
    return flight;
  };
}
