import { createDecipheriv, createHmac, hkdfSync } from "node:crypto";
import { describe, expect, test } from "bun:test";
import { GatewayError } from "../../../src/core/errors.ts";
import type { SealedStore } from "../../../src/core/sealed.ts";
import { parseKeys } from "../../../src/runtime/encryption-key.ts";
import { createVault } from "../../../src/runtime/vault.ts";

const random = () => crypto.getRandomValues(new Uint8Array(32));
const [K1, K2, K3] = [random(), random(), random()];

/** Keeps a check as a database does. */
function emptyStore() {
  let check: string | null = null;
  return {
    keyCheck: () => check,
    keepKeyCheck: (made: string) => void (check ??= made),
  } satisfies Partial<SealedStore>;
}

const vaultWith = (keys: Uint8Array[], store = emptyStore()) =>
  createVault({ keys, directory: "/nowhere", sealed: () => store });

function thrownBy(run: () => unknown): GatewayError {
  try {
    run();
  } catch (error) {
    if (error instanceof GatewayError) return error;
    throw error;
  }
  throw new Error("Nothing was thrown.");
}

const context = ["credentials", "uuid-1", "ada"];

describe("what was sealed", () => {
  test("is opened for what it was sealed for, and looks different each time", () => {
    const vault = vaultWith([K1]);
    for (const text of ["", "sk-123", "Grüße\0\n😀", "x".repeat(100_000)]) {
      const sealed = vault.seal(text, context);
      expect(vault.open(sealed, context)).toBe(text);
      expect(vault.seal(text, context)).not.toBe(sealed);
      expect(vaultWith([K1]).open(sealed, context)).toBe(text);
    }
  });

  // Demanded: vault-bound
  test.each<[string, (string | number)[]]>([
    ["another row", ["credentials", "uuid-2", "ada"]],
    ["another member", ["credentials", "uuid-1", "bob"]],
    ["another table", ["servers", "uuid-1", "ada"]],
    ["more parts", ["credentials", "uuid-1", "ada", ""]],
    ["fewer parts", ["credentials", "uuid-1"]],
    ["parts put together", ["credentials", "uuid-1,ada"]],
    ["parts put together otherwise", ['credentials","uuid-1', "ada"]],
    ["nothing", []],
  ])("does not open for %s", (_, other) => {
    const vault = vaultWith([K1]);
    const sealed = vault.seal("secret of ada", context);
    const error = thrownBy(() => vault.open(sealed, other));
    expect(error.code).toBe("internal");
    expect(error.message).not.toContain("secret of ada");
  });

  test("a number is not the text that looks like it", () => {
    const vault = vaultWith([K1]);
    expect(() => vault.open(vault.seal("x", ["t", 1]), ["t", "1"])).toThrow();
  });

  test("does not open when any one character of it was changed, or it was cut off", () => {
    const vault = vaultWith([K1]);
    const sealed = vault.seal("secret", context);
    for (let i = 0; i < sealed.length; i++) {
      const other = sealed[i] === "A" ? "B" : "A";
      const changed = sealed.slice(0, i) + other + sealed.slice(i + 1);
      expect(() => vault.open(changed, context)).toThrow();
      expect(() => vault.open(sealed.slice(0, i), context)).toThrow();
    }
    for (const other of [`${sealed}A`, `${sealed}=`, ` ${sealed}`, "x"]) {
      expect(() => vault.open(other, context)).toThrow();
    }
  });

  test("is AES-256-GCM with a key that HKDF made of the operator's, as anybody can check", () => {
    const sealed = vaultWith([K1]).seal("secret", context);
    const [version, , text] = sealed.split(".");
    expect(version).toBe("1");
    const bytes = Buffer.from(text!, "base64url");
    const key = Buffer.from(hkdfSync("sha256", K1, "", "seal", 32));
    const decipher = createDecipheriv(
      "aes-256-gcm",
      key,
      bytes.subarray(0, 12),
    );
    decipher.setAAD(Buffer.from(JSON.stringify(context)));
    decipher.setAuthTag(bytes.subarray(-16));
    const plain = decipher.update(bytes.subarray(12, -16));
    expect(Buffer.concat([plain, decipher.final()]).toString()).toBe("secret");
    for (const form of ["hex", "base64", "base64url"] as const) {
      expect(sealed).not.toContain(Buffer.from(K1).toString(form));
    }
  });
});

describe("a change of keys", () => {
  test("opens what the old one sealed, says so, and seals with the new one", () => {
    const store = emptyStore();
    const old = vaultWith([K1], store).seal("secret", context);
    const both = vaultWith([K2, K1], store);
    both.verify(store.keyCheck()!);
    expect(both.open(old, context)).toBe("secret");
    expect(both.outdated(old)).toBe(true);
    const fresh = both.seal("secret", context);
    expect(both.outdated(fresh)).toBe(false);
    expect(() => vaultWith([K1]).open(fresh, context)).toThrow();
    expect(() => vaultWith([K2]).open(old, context)).toThrow(
      "a key that is not known",
    );
  });

  test("to a key alone that has sealed nothing is refused, and so is sealing with it", () => {
    const store = emptyStore();
    vaultWith([K1], store).seal("secret", context);
    const check = store.keyCheck();
    const wrong = vaultWith([K2, K3], store);
    for (const run of [
      () => wrong.verify(check!),
      () => wrong.seal("more", context),
    ]) {
      const error = thrownBy(run);
      expect(error.data).toEqual({ reason: "encryption_key" });
      expect(error.message).toContain("ENCRYPTION_KEY");
    }
    expect(store.keyCheck()).toBe(check);
  });
});

describe("mac", () => {
  test("is an HMAC-SHA-256 with a key for each purpose", () => {
    const vault = vaultWith([K1]);
    const key = hkdfSync("sha256", K1, "", JSON.stringify(["mac", "icon"]), 32);
    expect(vault.mac("icon", "42")).toBe(
      createHmac("sha256", Buffer.from(key)).update("42").digest("base64url"),
    );
    const others = [
      vault.mac("icon", "43"),
      vault.mac("state", "42"),
      vaultWith([K2]).mac("icon", "42"),
    ];
    expect(new Set([vault.mac("icon", "42"), ...others]).size).toBe(4);
    expect(vaultWith([K1, K2]).mac("icon", "42")).toBe(vault.mac("icon", "42"));
  });
});

describe("a key", () => {
  const forms = (key: Uint8Array) =>
    (["hex", "base64", "base64url"] as const).map((form) =>
      Buffer.from(key).toString(form),
    );

  test("is taken in hex, base64 and base64url, and several with commas or lines between", () => {
    for (const text of forms(K1)) {
      expect(parseKeys(text)?.map((key) => key.toHex())).toEqual([K1.toHex()]);
    }
    const [hex] = forms(K1);
    const [, base64] = forms(K2);
    for (const text of [`${hex},${base64}`, ` ${hex} ,\n${base64}\n`]) {
      expect(parseKeys(text)?.map((key) => key.toHex())).toEqual([
        K1.toHex(),
        K2.toHex(),
      ]);
    }
  });

  test("that is random is never taken for a weak one", () => {
    for (let i = 0; i < 2000; i++) {
      expect(parseKeys(random().toHex())).not.toBeNull();
    }
  });

  // Demanded: vault-key-strong
  test.each([
    ["nothing", ""],
    ["commas", ",,"],
    ["16 characters", "0123456789abcdef"],
    ["a password", "correct horse battery staple"],
    ["32 characters", "0123456789abcdef0123456789abcdef"],
    ["16 bytes", Buffer.from(random().slice(0, 16)).toString("base64")],
    ["31 bytes", Buffer.from(random().slice(0, 31)).toString("base64")],
    ["33 bytes", Buffer.from([...random(), 1]).toString("base64")],
    ["64 bytes", random().toHex() + random().toHex()],
    ["zeros", "00".repeat(32)],
    ["one byte, again and again", "a7".repeat(32)],
    ["a pattern", "00112233".repeat(8)],
    ["the numbers from 0", new Uint8Array(32).map((_, i) => i).toHex()],
    ["and backwards", new Uint8Array(32).map((_, i) => 255 - i).toHex()],
    [
      "text in disguise",
      Buffer.from("correct horse battery staple !!!").toString("hex"),
    ],
    ["a good one and a bad one", `${random().toHex()},changeme`],
    ["a good one with something behind it", `${random().toHex()}!`],
  ])("%s is refused", (_, text) => {
    expect(parseKeys(text)).toBeNull();
  });
});
