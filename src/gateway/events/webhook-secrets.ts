import { GatewayError } from "../../core/errors.ts";
import type { Clock, Vault } from "../../core/runtime.ts";
import { sealContexts } from "../../core/sealed.ts";
import type { Webhook } from "../../core/webhook.ts";

/** Secrets of webhooks, as Standard Webhooks has them: `whsec_` and 24 to 64 bytes in base64. */

const PREFIX = "whsec_";
const MADE_BYTES = 32;

/** What is asked of a secret that somebody brings. */
export const SECRET_FORM = `must be ${PREFIX} and 24 to 64 random bytes in base64`;

/** The bytes to sign with; null for what is no secret. */
export function readSecret(text: string): Uint8Array | null {
  if (!text.startsWith(PREFIX)) return null;
  let bytes: Uint8Array;
  try {
    bytes = Uint8Array.fromBase64(text.slice(PREFIX.length));
  } catch {
    return null;
  }
  return bytes.length >= 24 && bytes.length <= 64 ? bytes : null;
}

export function makeSecret(random: (bytes: number) => Uint8Array): string {
  return `${PREFIX}${random(MADE_BYTES).toBase64()}`;
}

/** The secrets that sign for a webhook now, the newest first. */
export function createSecrets(wiring: {
  vault: Pick<Vault, "open">;
  clock: Clock;
  /** Of the webhook that the environment makes, the newest first. */
  configured: readonly Uint8Array[];
}): (webhook: Webhook) => readonly Uint8Array[] {
  const { vault, clock, configured } = wiring;
  return (webhook) => {
    if (webhook.configured) return configured;
    const { id, sealedSecret, sealedPrevious, previousUntil } = webhook;
    const texts = [
      sealedSecret && vault.open(sealedSecret, sealContexts.webhookSecret(id)),
      previousUntil !== null && previousUntil > clock.now()
        ? sealedPrevious &&
          vault.open(sealedPrevious, sealContexts.webhookPrevious(id))
        : null,
    ];
    const secrets = texts.flatMap((text) => (text && readSecret(text)) || []);
    if (secrets.length > 0) return secrets;
    throw new GatewayError("internal", `The webhook ${id} has no secret.`);
  };
}
