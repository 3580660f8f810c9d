import type { Adapter, AdapterPayload } from "oidc-provider";

/** Everything that the authorization server remembers, in memory, where tests can make it forget. */
export function keepTokens() {
  const kept = new Map<string, { model: string; payload: AdapterPayload }>();
  const find = (
    model: string,
    matches: (payload: AdapterPayload) => boolean,
  ): AdapterPayload | undefined =>
    [...kept.values()].find(
      (entry) => entry.model === model && matches(entry.payload),
    )?.payload;
  type Matches = (model: string, payload: AdapterPayload) => boolean;
  function forget(matches: Matches): void {
    for (const [key, { model, payload }] of kept) {
      if (matches(model, payload)) kept.delete(key);
    }
  }
  return {
    forget,
    count: (matches: Matches) =>
      [...kept.values()].filter(({ model, payload }) => matches(model, payload))
        .length,
    adapter: (model: string): Adapter => {
      const key = (id: string) => `${model}:${id}`;
      return {
        upsert: async (id, payload) =>
          void kept.set(key(id), { model, payload }),
        find: async (id) => kept.get(key(id))?.payload,
        findByUid: async (uid) => find(model, (one) => one.uid === uid),
        findByUserCode: async (code) =>
          find(model, ({ userCode }) => userCode === code),
        async consume(id) {
          const entry = kept.get(key(id));
          if (entry) entry.payload.consumed = Math.floor(Date.now() / 1000);
        },
        destroy: async (id) => void kept.delete(key(id)),
        revokeByGrantId: async (grantId) =>
          forget(
            (other, payload) => other === model && payload.grantId === grantId,
          ),
      };
    },
  };
}
