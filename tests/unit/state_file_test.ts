// state.json that is damaged, or of another belay: it is none, and every command can still finish.
import { assertEquals } from "@std/assert";
import { parseStateFile, type StateFile } from "../../runtime/state/state_file.ts";

const STATE: StateFile = {
  ...{ ociVersion: "1.3.0", id: "web", bundle: "/b", rootfs: "/b/rootfs", owner: "root" },
  created: "2026-11-26T15:00:00.000Z",
  annotations: { a: "b" },
  init: { bootId: "x", pidNamespace: "pid:[1]", pid: 7, rung: "handle", mark: "254:00" },
  exec: { path: "/bin/sh", args: ["sh"], env: [], rlimits: [] },
  process: {
    user: { uid: 0, gid: 0, additionalGids: [] },
    ...{ env: ["A=b"], cwd: "/", noNewPrivileges: true, rlimits: [] },
    capabilities: { bounding: [], effective: [], permitted: [], inheritable: [], ambient: [] },
  },
  join: { namespaces: 0, foreignRoot: false, newKeyring: true },
  hooks: { startContainer: [], poststart: [], poststop: [] },
  cgroups: [{ version: 1, controllers: ["pids"], path: "/sys/fs/cgroup/pids/web" }],
  ownPidNamespace: true,
  preserveFds: 0,
};

/** Every place in a value, by its keys. */
function* places(value: unknown, path: string[] = []): Generator<string[]> {
  if (typeof value !== "object" || value === null) return;
  for (const [key, member] of Object.entries(value)) {
    yield [...path, key];
    yield* places(member, [...path, key]);
  }
}

/** The state with another value at a place; undefined: without it. */
function changed(place: readonly string[], value: unknown): string {
  const copy = structuredClone(STATE) as unknown as Record<string, unknown>;
  const holder = place.slice(0, -1)
    .reduce((at, key) => at[key] as Record<string, unknown>, copy);
  holder[place.at(-1) ?? ""] = value;
  return JSON.stringify(copy);
}

Deno.test("parseStateFile() gives back what was written", () => {
  assertEquals(parseStateFile(JSON.stringify(STATE)), STATE);
  const { init: _init, exec: _exec, ...early } = STATE;
  assertEquals(parseStateFile(JSON.stringify(early)), early);
});

Deno.test("parseStateFile() finds no state where a text was cut, or is something else", () => {
  const text = JSON.stringify(STATE);
  for (let length = 0; length < text.length; length++) {
    assertEquals(parseStateFile(text.slice(0, length)), undefined);
  }
  for (const other of ["null", "7", "[]", "{}", '"x"']) {
    assertEquals(parseStateFile(other), undefined);
  }
});

Deno.test("parseStateFile() finds no state where a member is missing or of another kind", () => {
  const optional = /^(exec|init$|annotations,|join,(foreignRoot|newKeyring)|process,noNew)/;
  const deeper = /^(process,(user|capabilities|env),|cgroups,0,controllers,)/;
  let tried = 0;
  for (const place of places(STATE)) {
    if (optional.test(place.join()) || deeper.test(place.join())) continue;
    const wrong = [undefined, null, 7.5, "x", false, [], {}].filter((value) =>
      value === undefined || kind(value) !== kind(valueAt(place))
    );
    for (const value of wrong) {
      tried++;
      assertEquals(parseStateFile(changed(place, value)), undefined, `${place}: ${value}`);
    }
  }
  assertEquals(tried > 150, true, `only ${tried}`);
});

function valueAt(place: readonly string[]): unknown {
  return place.reduce((at, key) => (at as Record<string, unknown>)[key], STATE as unknown);
}

function kind(value: unknown): string {
  return Array.isArray(value) ? "array" : value === null ? "null" : typeof value;
}
