import { assertEquals, assertThrows } from "@std/assert";
import { defaultSpec } from "../../runtime/spec/default_spec.ts";
import { parseSpec, parseSpecText } from "../../runtime/spec/parse_spec.ts";
import { InexactNumber, ValidationError } from "../../runtime/spec/validation_error.ts";
import { type Config, parsed, refuses } from "./spec_expect.ts";

/** `linux.resources` that ask for nothing. */
const UNLIMITED = {
  devices: [],
  hugepageLimits: [],
  rdma: Object.create(null),
  unified: Object.create(null),
};

Deno.test("parseSpec() fills in every default when the config is minimal", () => {
  const { spec, warnings } = parseSpec({
    ociVersion: "1.0.0",
    root: { path: "rootfs" },
    process: { cwd: "/", args: ["sh"] },
    linux: { namespaces: [{ type: "mount" }] },
  });
  assertEquals(warnings, []);
  assertEquals(spec.process, {
    terminal: false,
    user: { uid: 0, gid: 0, additionalGids: [] },
    args: ["sh"],
    env: [],
    cwd: "/",
    capabilities: { bounding: [], effective: [], inheritable: [], permitted: [], ambient: [] },
    rlimits: [],
    noNewPrivileges: false,
  });
  assertEquals(spec.root.readonly, false);
  assertEquals(spec.mounts, []);
  assertEquals(Object.values(spec.hooks), [[], [], [], [], [], []]);
  assertEquals(spec.linux.resources, undefined);
  assertEquals(Object.keys(spec.linux.sysctl), []);
});

Deno.test("parseSpec() treats null as absent everywhere, as Go does", () => {
  const { spec, warnings } = parsed((config) => {
    for (const name of ["hostname", "domainname", "hooks", "annotations"]) config[name] = null;
    for (const name of ["env", "rlimits", "capabilities", "oomScoreAdj", "seccomp"]) {
      config.process[name] = null;
    }
    config.linux.resources = { memory: { limit: null }, cpu: null, devices: null };
    config.linux.sysctl = { "net.core.somaxconn": null };
    config.mounts[0].options = null;
  });
  assertEquals(warnings, []);
  assertEquals(spec.hostname, undefined);
  assertEquals(spec.process.env, []);
  assertEquals(spec.linux.resources, { ...UNLIMITED, memory: {} });
  assertEquals(Object.keys(spec.linux.sysctl), []);
});

Deno.test('parseSpec() treats an optional string as absent when it is ""', () => {
  const { spec } = parsed((config) => {
    config.hostname = "";
    config.linux.namespaces[1].path = "";
    config.linux.cgroupsPath = "";
    config.linux.rootfsPropagation = "";
  });
  assertEquals("hostname" in spec, false);
  assertEquals(spec.linux.namespaces[1], { type: "network" });
  assertEquals("cgroupsPath" in spec.linux, false);
  assertEquals("rootfsPropagation" in spec.linux, false);
});

Deno.test("parseSpec() names the field when a value has the wrong type", () => {
  assertEquals(
    assertThrows(() => parseSpec([]), ValidationError).message,
    "config.json: must be an object, got an empty array",
  );
  refuses((c) => c.process = "sh", 'process: must be an object, got "sh"');
  refuses((c) => c.process.args = "sh", 'process.args: must be an array, got "sh"');
  refuses((c) => c.process.args = ["sh", 5], "process.args[1]: must be a string, got 5");
  refuses((c) => c.process.env = [null], "process.env[0]: must be a string, got null");
  refuses((c) => c.root.readonly = 1, "root.readonly: must be true or false, got 1");
  refuses(
    (c) => c.annotations = { "a.b": {} },
    'annotations["a.b"]: must be a string, got an object',
  );
  refuses(
    (c) => c.linux.namespaces[2].type = "net",
    "linux.namespaces[2].type: must be one of pid, network, mount, ipc, uts, user, cgroup, time; " +
      'got "net"',
  );
  refuses(
    (c) => c.linux.namespaces[2].path = "foo",
    'linux.namespaces[2].path: must be an absolute path, got "foo"',
  );
});

Deno.test("parseSpec() names the field when something required is missing", () => {
  refuses((c) => delete c.ociVersion, "ociVersion: is required and must be a string");
  refuses((c) => delete c.process, "process: is required and must be an object");
  refuses((c) => delete c.root, "root: is required and must be an object");
  refuses((c) => c.root.path = "", "root.path: must not be empty");
  refuses((c) => delete c.process.cwd, "process.cwd: is required and must be an absolute path");
  refuses((c) => c.process.cwd = "", 'process.cwd: must be an absolute path, got ""');
  refuses((c) => c.process.args = null, "process.args: is required and must be an array of string");
  refuses(
    (c) => c.process.args = [],
    "process.args: must not be empty; its first entry is what is executed",
  );
});

Deno.test("parseSpec() refuses a NUL character wherever a string is", () => {
  const nul = "must not contain a NUL character";
  refuses((c) => c.hostname = "a\0b", `hostname: ${nul}`);
  refuses((c) => c.process.args.push("a\0"), `process.args[1]: ${nul}`);
  refuses((c) => c.process.cwd = "/\0", `process.cwd: ${nul}`);
  refuses((c) => c.mounts[1].options.push("mode=\0"), `mounts[1].options[4]: ${nul}`);
  refuses((c) => c.root.path = "\0", `root.path: ${nul}`);
  refuses(
    (c) => c.annotations = { "a\0": "b" },
    'annotations["a\\u0000"]: the key must be text without NUL characters',
  );
});

Deno.test("parseSpec() says which map it is when a key is empty", () => {
  const problem = "has an empty key; every key must be a name";
  refuses((c) => c.annotations = { a: "b", "": "c" }, `annotations: ${problem}`);
  refuses((c) => c.linux.sysctl = { "": "1" }, `linux.sysctl: ${problem}`);
});

Deno.test("parseSpec() accepts the OCI versions that belay knows, and no other", () => {
  for (const version of ["1.0.0", "1.0.2-dev", "1.1.0+dev", "1.2.1-rc.1", "1.3.7"]) {
    assertEquals(parsed((c) => c.ociVersion = version).spec.ociVersion, version);
  }
  for (const version of ["1.4.0", "2.0.0", "0.6.0"]) {
    refuses(
      (c) => c.ociVersion = version,
      `ociVersion: belay runs versions 1.0 to 1.3 of the runtime specification, got "${version}"`,
    );
  }
  for (const version of ["", "1", "1.0", "v1.0.0", "1.0.0 ", "01.0.0x"]) {
    refuses(
      (c) => c.ociVersion = version,
      `ociVersion: must be a version like "1.3.0", got "${version}"`,
    );
  }
});

Deno.test("parseSpecText() keeps 64-bit numbers exact, also the largest", () => {
  const config = JSON.stringify(defaultSpec())
    .replace('"hard":1024', '"hard":18446744073709551615')
    .replace('"soft":1024', '"soft":18446744073709551614')
    .replace('"resources":{', '"resources":{"memory":{"limit":9223372036854775807},');
  const { spec } = parseSpecText(config, "config.json");
  assertEquals(spec.process.rlimits[0]?.hard, 18446744073709551615n);
  assertEquals(spec.process.rlimits[0]?.soft, 18446744073709551614n);
  assertEquals(spec.linux.resources?.memory?.limit, 9223372036854775807n);
});

Deno.test("parseSpec() refuses a number when JSON.parse may have rounded it", () => {
  const error = assertThrows(
    () => parsed((c) => c.process.rlimits[0].hard = JSON.parse("18446744073709551615")),
    InexactNumber,
  );
  assertEquals(error.field, "process.rlimits[0].hard");
});

Deno.test("parseSpec() refuses a number outside of its field's range", () => {
  const range = (from: number | bigint, to: number | bigint, got: unknown): string =>
    `must be a whole number from ${from} to ${to}, got ${got}`;
  const ids = 4294967294;
  refuses((c) => c.process.user.uid = -1, `process.user.uid: ${range(0, ids, -1)}`);
  refuses(
    (c) => c.process.user.gid = 2 ** 32 - 1,
    `process.user.gid: ${range(0, ids, 2 ** 32 - 1)}`,
  );
  refuses(
    (c) => c.process.user.additionalGids = [1, 1.5],
    `process.user.additionalGids[1]: ${range(0, ids, 1.5)}`,
  );
  refuses((c) => c.process.user.umask = 512, `process.user.umask: ${range(0, 511, 512)}`);
  refuses((c) => c.process.oomScoreAdj = 1001, `process.oomScoreAdj: ${range(-1000, 1000, 1001)}`);
  refuses(
    (c) => c.process.rlimits[0].hard = 2n ** 64n,
    `process.rlimits[0].hard: ${range(0, 2n ** 64n - 1n, 2n ** 64n)}`,
  );
  refuses(
    (c) => c.process.rlimits[0].soft = "1",
    `process.rlimits[0].soft: ${range(0, 2n ** 64n - 1n, '"1"')}`,
  );
  refuses(
    (c) => c.linux.resources.memory = { limit: -2 },
    `linux.resources.memory.limit: ${range(-1, 2n ** 63n - 1n, -2)}`,
  );
  refuses(
    (c) => c.hooks = { poststop: [{ path: "/x", timeout: 0 }] },
    `hooks.poststop[0].timeout: ${range(1, 2 ** 31 - 1, 0)}`,
  );
});

Deno.test("parseSpec() keeps any key of a map, and none of them reaches a prototype", () => {
  const config = JSON.stringify(defaultSpec())
    .replace('"linux":', '"annotations":{"__proto__":"x","constructor":"y"},"linux":');
  const { annotations } = parseSpec(JSON.parse(config)).spec;
  assertEquals(Object.entries(annotations), [["__proto__", "x"], ["constructor", "y"]]);
  assertEquals(Object.getPrototypeOf(annotations), null);
});

Deno.test("parseSpec() reads devices with their defaults and bounds", () => {
  const { spec } = parsed((c) =>
    c.linux.devices = [
      { path: "/dev/fuse", type: "c", major: 10, minor: 229, fileMode: 0o20660 },
      { path: "/dev/u", type: "u", major: 1, minor: 2, uid: 3, gid: 4 },
      { path: "/dev/p", type: "p" },
    ]
  );
  assertEquals(spec.linux.devices, [
    { path: "/dev/fuse", type: "c", major: 10, minor: 229, fileMode: 0o660, uid: 0, gid: 0 },
    { path: "/dev/u", type: "c", major: 1, minor: 2, fileMode: 0o666, uid: 3, gid: 4 },
    { path: "/dev/p", type: "p", major: 0, minor: 0, fileMode: 0o666, uid: 0, gid: 0 },
  ]);
  const device = (fields: object) => (c: Config) =>
    c.linux.devices = [{ path: "/dev/x", type: "c", major: 1, minor: 1, ...fields }];
  refuses(
    device({ minor: undefined }),
    "linux.devices[0].minor: is required for a device of type c",
  );
  refuses(
    device({ path: "dev/x" }),
    'linux.devices[0].path: must be an absolute path, got "dev/x"',
  );
  refuses(
    device({ major: 4096 }),
    "linux.devices[0].major: must be a whole number from 0 to 4095, got 4096",
  );
});

Deno.test("parseSpec() reads device rules with their defaults", () => {
  const { spec } = parsed((c) =>
    c.linux.resources.devices = [
      { allow: false, access: "rwm" },
      { allow: true, type: "b", major: 8, minor: -1, access: "r" },
    ]
  );
  assertEquals(spec.linux.resources?.devices, [
    { allow: false, type: "a", major: -1, minor: -1, access: "rwm" },
    { allow: true, type: "b", major: 8, minor: -1, access: "r" },
  ]);
  const rule = (fields: object) => (c: Config) =>
    c.linux.resources.devices = [{ allow: true, ...fields }];
  refuses(
    rule({}),
    "linux.resources.devices[0].access: is required and must be a string",
  );
  for (const access of ["", "x", "rr", "rwmr"]) {
    refuses(
      rule({ access }),
      `linux.resources.devices[0].access: must be made of r, w and m, got "${access}"`,
    );
  }
  refuses(
    rule({ access: "r", type: "p" }),
    'linux.resources.devices[0].type: must be one of a, b, c; got "p"',
  );
  refuses(
    rule({ access: "r", major: 1 }),
    'linux.resources.devices[0].type: "a" is every device; with numbers it must be b or c',
  );
});

Deno.test("parseSpec() reads a limit of 0 as not set, but for pids and swappiness", () => {
  const { spec } = parsed((c) =>
    c.linux.resources = {
      memory: { limit: 0, reservation: 0, swap: 0, swappiness: 0 },
      cpu: { shares: 0, quota: 0, period: 0, realtimeRuntime: 0, realtimePeriod: 0, cpus: "" },
      pids: { limit: 0 },
    }
  );
  assertEquals(spec.linux.resources, {
    ...UNLIMITED,
    memory: { swappiness: 0 },
    cpu: {},
    pids: { limit: 0n },
  });
});

Deno.test("parseSpec() checks quota, period and lists of CPUs as the kernel will", () => {
  const cpu = (fields: object) => (c: Config) => c.linux.resources.cpu = fields;
  const { spec } = parsed(cpu({ quota: -1, period: 100000, cpus: "0-3,7", mems: "0" }));
  assertEquals(spec.linux.resources?.cpu, {
    quota: -1n,
    period: 100000n,
    cpus: "0-3,7",
    mems: "0",
  });
  refuses(
    cpu({ quota: 999 }),
    "linux.resources.cpu.quota: must be at least 1000 (a millisecond) or -1, got 999",
  );
  refuses(
    cpu({ period: 999 }),
    "linux.resources.cpu.period: must be from 1000 to 1000000 microseconds, got 999",
  );
  for (const list of ["0-", ",", "a", "0 1", "-1"]) {
    refuses(
      cpu({ cpus: list }),
      `linux.resources.cpu.cpus: must be a list like "0-3,7", got "${list}"`,
    );
  }
});

Deno.test("parseSpec() cleans cgroupsPath so that it never leaves the hierarchy", () => {
  const cleaned = (path: string) =>
    parsed((c) => c.linux.cgroupsPath = path).spec.linux.cgroupsPath;
  assertEquals(cleaned("/a/b"), "/a/b");
  assertEquals(cleaned("a//./b/"), "a/b");
  assertEquals(cleaned("/../../a"), "/a");
  assertEquals(cleaned("../a/../../b"), "b");
  assertEquals(cleaned("system.slice:belay:id"), "system.slice:belay:id");
  for (const root of ["/", "..", "a/..", "/./"]) {
    refuses(
      (c) => c.linux.cgroupsPath = root,
      `linux.cgroupsPath: must name a cgroup below the root, got "${root}"`,
    );
  }
  refuses(
    (c) => c.linux.cgroupsPath = "/a\nb",
    "linux.cgroupsPath: must not contain a line break; the kernel allows none in it",
  );
});
