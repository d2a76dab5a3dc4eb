// What exec adds to a container: flags, files, and files that are damaged.
import { assert, assertEquals, assertThrows } from "@std/assert";
import { parseProcessText } from "../../runtime/process/parsed_process.ts";
import { ValidationError } from "../../runtime/spec/validation_error.ts";
import type { StoredProcess } from "../../runtime/state/state_file.ts";
import { generator } from "../random.ts";

const SEED = Number(Deno.env.get("BELAY_SEED") ?? 20261126);
const ROUNDS = 3000;

const BASE: StoredProcess = {
  user: { uid: 1, gid: 2, additionalGids: [3] },
  env: ["PATH=/bin"],
  cwd: "/",
  capabilities: {
    ...{ bounding: ["CAP_KILL"], effective: ["CAP_KILL"], permitted: ["CAP_KILL"] },
    ...{ inheritable: [], ambient: [] },
  },
  rlimits: [{ type: "RLIMIT_NOFILE", soft: "1024", hard: "18446744073709551615" }],
  noNewPrivileges: true,
};

/** As containerd writes one. */
const REAL = {
  terminal: true,
  consoleSize: { height: 24, width: 80 },
  user: { uid: 0, gid: 0, additionalGids: [0, 10], umask: 18 },
  args: ["sh", "-c", "echo hi"],
  env: ["PATH=/usr/bin:/bin", "TERM=xterm"],
  cwd: "/root",
  capabilities: {
    bounding: ["CAP_CHOWN", "CAP_KILL"],
    effective: ["CAP_CHOWN", "CAP_KILL"],
    permitted: ["CAP_CHOWN", "CAP_KILL"],
  },
  rlimits: [{ type: "RLIMIT_NOFILE", hard: 1048576, soft: 1048576 }],
  noNewPrivileges: false,
  oomScoreAdj: 0,
};

Deno.test("parseProcessText() reads what clients write, and completes it", () => {
  const warnings: string[] = [];
  const process = parseProcessText(JSON.stringify(REAL), BASE, warnings);
  assertEquals(warnings, []);
  assertEquals(process.args, REAL.args);
  assertEquals(process.rlimits[0]?.hard, 1048576n);
  const short = parseProcessText(`{"args":["true"],"cwd":"/"}`, BASE, []);
  assertEquals(short.capabilities, BASE.capabilities);
  assertEquals(short.rlimits, [{ type: "RLIMIT_NOFILE", soft: 1024n, hard: 2n ** 64n - 1n }]);
  assertEquals(short.user, { uid: 0, gid: 0, additionalGids: [] });
  const exact = `{"args":["a"],"cwd":"/","rlimits":[{"type":"RLIMIT_AS","soft":1,"hard":${
    2n ** 64n - 1n
  }}]}`;
  assertEquals(parseProcessText(exact, BASE, []).rlimits[0]?.hard, 2n ** 64n - 1n);
});

Deno.test("parseProcessText() names what is wrong", () => {
  for (
    const [text, field] of [
      [`{"args":["true"],"cwd":"x"}`, "process.cwd"],
      [`{"cwd":"/"}`, "process.args"],
      [`{"args":[],"cwd":"/"}`, "process.args"],
      [`{"args":["a"],"cwd":"/","env":["=x"]}`, "process.env[0]"],
      [`[1]`, "process"],
      [`null`, "process"],
      [`{`, "process"],
    ] as const
  ) {
    const error = assertThrows(
      () => parseProcessText(text, BASE, []),
      ValidationError,
      undefined,
      text,
    );
    assertEquals(error.field, field, text);
  }
});

const ODD: readonly string[] = [
  ...["null", "true", "-1", "0.5", "1e400", "18446744073709551616", '""', '"\\u0000"', "[]", "{}"],
  ...['"/"', '"\\ud800"', '{"__proto__":{"x":1}}', `"${"x".repeat(5000)}"`, "[[[[]]]]"],
];

Deno.test("parseProcessText() answers with a process or a ValidationError when files are damaged", () => {
  const random = generator(SEED);
  const counts = { accepted: 0, refused: 0 };
  for (let round = 0; round < ROUNDS; round++) {
    let text = JSON.stringify(REAL);
    for (let n = random(3); n >= 0; n--) text = damaged(text, random);
    try {
      parseProcessText(text, BASE, []);
      counts.accepted++;
    } catch (error) {
      assert(error instanceof ValidationError, `seed ${SEED}, round ${round}, ${text}: ${error}`);
      counts.refused++;
    }
  }
  // Both must occur often, or the damage tests nothing.
  assert(counts.accepted > ROUNDS / 20 && counts.refused > ROUNDS / 20, JSON.stringify(counts));
});

/** Another value in the place of one, or a byte more, less or other. */
function damaged(text: string, random: (limit: number) => number): string {
  const values = [...text.matchAll(/(?<=[:,[])("[^"]*"|\d+|true|false)(?=[,\]}])/g)];
  const value = values[random(values.length)];
  const odd = ODD[random(ODD.length)] ?? "";
  if (value !== undefined && random(4) > 0) {
    return text.slice(0, value.index) + odd + text.slice(value.index + value[0].length);
  }
  const at = random(text.length);
  return text.slice(0, at) + ["", "x", '"', "}"][random(4)] + text.slice(at + random(2));
}
