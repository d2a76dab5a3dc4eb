/**
 * Whatever is thrown at the parser, it answers with a Spec or with a ValidationError. The inputs
 * come from a seeded generator; BELAY_SEED=n repeats or varies them, BELAY_FUZZ=n makes n times as
 * many of them.
 */
import { assert, assertEquals } from "@std/assert";
import { defaultSpec, rootlessSpec } from "../../runtime/spec/default_spec.ts";
import { parseJson } from "../../runtime/spec/parse_json.ts";
import { parseMountOptions } from "../../runtime/spec/mount_options.ts";
import { parseSpec, parseSpecText } from "../../runtime/spec/parse_spec.ts";
import { ValidationError } from "../../runtime/spec/validation_error.ts";
import { generator, rounds, SEED } from "../random.ts";
import { REAL_CONFIGS } from "../real_configs.ts";

const ROUNDS = rounds(3000);

/** A valid config in which every kind of field occurs, so that a mutation can hit it. */
function richSpec(): object {
  const mapping = { containerID: 0, hostID: 1, size: 10 };
  const hook = { path: "/bin/true", args: ["true"], env: ["A=b"], timeout: 1 };
  const spec = structuredClone(rootlessSpec({ uid: 1, gid: 1 }));
  return Object.assign(spec, {
    domainname: "d",
    annotations: { a: "b" },
    hooks: { prestart: [hook], createRuntime: [hook], poststop: [hook] },
    linux: {
      ...(spec as { linux: object }).linux,
      uidMappings: [mapping],
      gidMappings: [mapping],
      sysctl: { "kernel.sem": "1" },
      cgroupsPath: "/a/b",
      rootfsPropagation: "rslave",
      seccomp: {
        defaultAction: "SCMP_ACT_ERRNO",
        defaultErrnoRet: 1,
        architectures: ["SCMP_ARCH_X86_64"],
        flags: ["SECCOMP_FILTER_FLAG_LOG"],
        listenerPath: "/run/agent",
        listenerMetadata: "m",
        syscalls: [{
          ...{ names: ["read"], action: "SCMP_ACT_TRACE", errnoRet: 2 },
          args: [{ index: 1, value: 3, valueTwo: 4, op: "SCMP_CMP_MASKED_EQ" }],
        }],
      },
      devices: [{ path: "/dev/x", type: "c", major: 1, minor: 2, fileMode: 438 }],
      resources: {
        devices: [{ allow: true, type: "c", major: 1, minor: 2, access: "rwm" }],
        memory: { limit: 4096, swap: 8192, swappiness: 1, disableOOMKiller: true },
        cpu: { shares: 2, quota: 1000, period: 1000, cpus: "0-1" },
        pids: { limit: 5 },
      },
    },
  });
}

const ODDITIES: readonly unknown[] = [
  null,
  true,
  "",
  "/",
  "x".repeat(5000),
  "\0",
  "\ud800",
  "../../..",
  0,
  -1,
  -0,
  0.5,
  1e308,
  2 ** 32,
  2 ** 64,
  2n ** 64n - 1n,
  2n ** 200n,
  [],
  [[]],
  [null],
  {},
  { "": null },
  { "a b": { c: [] } },
  JSON.parse('{"__proto__":{"x":1},"constructor":1,"toString":2}'),
];

/** Replaces, deletes, copies or adds something at a random place of `root`. */
function mutate(root: unknown, random: (limit: number) => number): unknown {
  const places: [holder: Record<string, unknown>, key: string][] = [];
  const visit = (value: unknown): void => {
    if (typeof value !== "object" || value === null) return;
    const holder = value as Record<string, unknown>;
    for (const key of Object.keys(holder)) {
      places.push([holder, key]);
      visit(holder[key]);
    }
  };
  visit(root);
  const oddity = structuredClone(ODDITIES[random(ODDITIES.length)]);
  const [holder, key] = places[random(places.length)] ?? [undefined, ""];
  if (holder === undefined) return oddity;
  const [donor, donorKey] = places[random(places.length)] ?? [holder, key];
  const action = random(5);
  if (action === 0) delete holder[key];
  else if (action === 1) holder[key] = structuredClone(donor[donorKey]);
  else if (action === 2) holder[`${key}x`] = oddity;
  else holder[key] = oddity;
  return root;
}

/** Runs `parse`; anything but a result or a ValidationError with its field is a failure. */
function answers(parse: () => unknown, describe: () => string): "accepted" | "refused" {
  try {
    parse();
    return "accepted";
  } catch (error) {
    assert(error instanceof ValidationError, `seed ${SEED}, ${describe()}: ${error}`);
    assert(error.field !== "" && error.message.startsWith(`${error.field}: `), error.message);
    return "refused";
  }
}

const printable = (value: unknown): string =>
  JSON.stringify(value, (_, v) => typeof v === "bigint" ? `${v}n` : v);

Deno.test("parseSpec() throws nothing but ValidationError when valid configs are mutated", () => {
  const random = generator(SEED);
  const real = [...REAL_CONFIGS.values()].map((text) => () => JSON.parse(text));
  const originals = [richSpec, () => structuredClone(defaultSpec()), ...real];
  const counts = { accepted: 0, refused: 0 };
  for (let round = 0; round < ROUNDS; round++) {
    let config: unknown = originals[round % originals.length]?.();
    for (let n = random(4); n >= 0; n--) config = mutate(config, random);
    counts[answers(() => parseSpec(config), () => printable(config))]++;
  }
  // Both outcomes must occur often, or the mutations test nothing.
  assert(counts.accepted > ROUNDS / 20 && counts.refused > ROUNDS / 20, JSON.stringify(counts));
});

Deno.test("parseSpec() accepts the configs that the mutations start from", () => {
  assertEquals(parseSpec(richSpec()).warnings, []);
  for (const text of REAL_CONFIGS.values()) parseSpecText(text, "config.json");
});

Deno.test("parseSpecText() answers when the bytes of a config are damaged", () => {
  const random = generator(SEED + 1);
  const texts = [JSON.stringify(richSpec(), null, " "), ...REAL_CONFIGS.values()];
  const originals = texts.map((text) => new TextEncoder().encode(text));
  for (let round = 0; round < ROUNDS; round++) {
    const original = originals[round % originals.length] ?? new Uint8Array();
    const bytes = original.slice(0, random(8) === 0 ? random(original.length) : original.length);
    for (let n = random(3); n >= 0 && bytes.length > 0; n--) {
      bytes[random(bytes.length)] = random(256);
    }
    const text = new TextDecoder().decode(bytes);
    answers(() => parseSpecText(text, "config.json"), () => JSON.stringify(text));
  }
});

Deno.test("parseJson() finds a place that is wrong exactly when JSON.parse refuses", () => {
  const random = generator(SEED + 2);
  const alphabet = '{}[]:,"\\ntrue0123456789.eE+- \u0001/u"a';
  for (let round = 0; round < 4 * ROUNDS; round++) {
    const length = random(12);
    const text = Array.from({ length }, () => alphabet[random(alphabet.length)]).join("");
    const outcome = answers(() => parseJson(text, "f"), () => JSON.stringify(text));
    let isJson = true;
    try {
      JSON.parse(text);
    } catch {
      isJson = false; // this is the question
    }
    assertEquals(outcome === "accepted", isJson, text);
    if (isJson) continue;
    try {
      parseJson(text, "f");
    } catch (error) {
      const contradiction = "expected the end of the file, got the end of the file";
      assert(!String(error).includes(contradiction), JSON.stringify(text));
    }
  }
});

Deno.test("parseSpec() answers when a file nests a hundred thousand levels deep", () => {
  const deep = "[".repeat(100_000) + "]".repeat(100_000);
  for (const place of ["linux", "linux.seccomp", "zos", "unknown"]) {
    const config = place.split(".").reduceRight((inner, name) => `{"${name}":${inner}}`, deep);
    answers(() => parseSpecText(config, "f"), () => place);
  }
  const objects = '{"a":'.repeat(100_000) + "1" + "}".repeat(100_000);
  answers(() => parseSpecText(`{"vm":${objects}}`, "f"), () => "vm");
  answers(() => parseJson("[".repeat(100_000), "f"), () => "open brackets");
});

Deno.test("parseMountOptions() throws nothing but ValidationError when options are random", () => {
  const random = generator(SEED + 3);
  const words = ["ro", "rw", "r", "no", "atime", "rel", "strict", "bind", "suid", "dev", "idmap"];
  for (let round = 0; round < ROUNDS; round++) {
    const options = Array.from(
      { length: random(5) },
      () => Array.from({ length: random(4) }, () => words[random(words.length)]).join(""),
    );
    answers(() => {
      const { set, clear, recursiveSet, recursiveClear } = parseMountOptions(
        options,
        "tmpfs",
        "mounts[0]",
      );
      // Apart from the access-time field no attribute is both on and off.
      assertEquals(set & clear & ~0x70, 0, options.join());
      assertEquals(recursiveSet & recursiveClear & ~0x70, 0, options.join());
    }, () => options.join());
  }
});
