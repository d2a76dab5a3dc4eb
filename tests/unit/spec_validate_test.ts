import { assertEquals } from "@std/assert";
import { sysctlPath } from "../../runtime/spec/validate_sysctl.ts";
import { type Config, parsed, refuses } from "./spec_expect.ts";

/** Adds a user namespace with 1000 ids, and then applies `change`. */
function withUserNamespace(change: (linux: Config, config: Config) => void) {
  return (config: Config): void => {
    config.linux.namespaces.push({ type: "user" });
    config.linux.uidMappings = [{ containerID: 0, hostID: 100000, size: 1000 }];
    config.linux.gidMappings = [{ containerID: 0, hostID: 100000, size: 1000 }];
    change(config.linux, config);
  };
}

function without(type: string) {
  return (config: Config): void => {
    const others = (namespace: Config): boolean => namespace.type !== type;
    config.linux.namespaces = config.linux.namespaces.filter(others);
  };
}

Deno.test("parseSpec() refuses a namespace when its type was there already", () => {
  refuses(
    (c) => c.linux.namespaces.push({ type: "pid", path: "/proc/1/ns/pid" }),
    'linux.namespaces[5].type: "pid" is there already, as linux.namespaces[0]; ' +
      "each type may be given once",
  );
});

Deno.test("parseSpec() refuses what would change the host when the namespace is missing", () => {
  const needs = (field: string, type: string): string =>
    `${field}: needs a namespace of type "${type}" in linux.namespaces; ` +
    "it would change the host's";
  refuses(without("uts"), needs("hostname", "uts"));
  refuses((c) => {
    without("uts")(c);
    delete c.hostname;
    c.domainname = "example";
  }, needs("domainname", "uts"));
  refuses(without("mount"), needs("linux.maskedPaths", "mount"));
  refuses((c) => {
    without("mount")(c);
    c.linux.maskedPaths = [];
  }, needs("linux.readonlyPaths", "mount"));
  refuses(
    (c) => c.linux.timeOffsets = { monotonic: { secs: 1 } },
    needs("linux.timeOffsets", "time"),
  );
  refuses(
    (c) => {
      without("mount")(c);
      c.linux.maskedPaths = c.linux.readonlyPaths = [];
    },
    'linux.namespaces: must have a namespace of type "mount"; containers without one are not supported yet',
  );
});

Deno.test("parseSpec() refuses a masked path when it is the root, which nothing can hide", () => {
  for (const path of ["/", "/.", "//x/.."]) {
    refuses(
      (c) => c.linux.maskedPaths = ["/proc/keys", path],
      `linux.maskedPaths[1]: must not be the root itself, got "${path}"`,
    );
  }
});

Deno.test("parseSpec() takes time offsets for a new time namespace only", () => {
  const offsets = (value: unknown, path?: string) => (c: Config) => {
    c.linux.namespaces.push({ type: "time", path });
    c.linux.timeOffsets = value;
  };
  const { spec } = parsed(offsets({ monotonic: { secs: -5, nanosecs: 7 }, boottime: {} }));
  assertEquals({ ...spec.linux.timeOffsets }, {
    monotonic: { secs: -5n, nanosecs: 7 },
    boottime: { secs: 0n, nanosecs: 0 },
  });
  refuses(
    offsets({ monotonic: { secs: 1 } }, "/proc/1/ns/time"),
    "linux.timeOffsets: can be set in a new time namespace only; linux.namespaces joins one by path",
  );
  refuses(
    offsets({ realtime: { secs: 1 } }),
    "linux.timeOffsets.realtime: the clock must be monotonic or boottime",
  );
  refuses(
    offsets({ boottime: { nanosecs: 1e9 } }),
    "linux.timeOffsets.boottime.nanosecs: must be a whole number from 0 to 999999999, " +
      "got 1000000000",
  );
  parsed(offsets({}, "/proc/1/ns/time"));
});

Deno.test("parseSpec() takes names of 64 bytes and none longer", () => {
  parsed((c) => c.hostname = "h".repeat(64));
  refuses((c) => c.hostname = "h".repeat(65), "hostname: must have at most 64 bytes, got 65");
  refuses((c) => c.domainname = "ä".repeat(33), "domainname: must have at most 64 bytes, got 66");
});

Deno.test("parseSpec() refuses id mappings when there is no user namespace", () => {
  refuses(
    (c) => c.linux.gidMappings = [{ containerID: 0, hostID: 0, size: 1 }],
    'linux.gidMappings: needs a namespace of type "user" in linux.namespaces',
  );
});

Deno.test("parseSpec() refuses a new user namespace when it is not mapped", () => {
  refuses(
    (c) => c.linux.namespaces.push({ type: "user" }),
    "linux.uidMappings: is required for a new user namespace",
  );
  refuses(
    withUserNamespace((linux) => linux.gidMappings = []),
    "linux.gidMappings: is required for a new user namespace",
  );
  refuses(
    withUserNamespace((linux) => linux.uidMappings[0].containerID = 1),
    "linux.uidMappings: must map id 0 of the container, which sets it up",
  );
});

Deno.test("parseSpec() warns of mappings beside a user namespace that is joined", () => {
  const { warnings } = parsed(withUserNamespace((linux) => {
    linux.namespaces.at(-1).path = "/proc/1/ns/user";
    linux.gidMappings = [];
  }));
  assertEquals(warnings, [
    "linux.uidMappings: not applied: the user namespace that is joined has its own",
  ]);
});

Deno.test("parseSpec() checks id mappings as the kernel will", () => {
  const uids = (...ranges: [number, number, number][]) =>
    withUserNamespace((linux) => {
      linux.uidMappings = ranges.map(([containerID, hostID, size]) => ({
        containerID,
        hostID,
        size,
      }));
    });
  parsed(uids([0, 100000, 10], [10, 100010, 10], [20, 5, 1]));
  parsed(uids([0, 4294967294, 1]));
  parsed(uids(...Array.from({ length: 340 }, (_, i): [number, number, number] => [i, 2 * i, 1])));
  refuses(
    uids(...Array.from({ length: 341 }, (_, i): [number, number, number] => [i, 2 * i, 1])),
    "linux.uidMappings: may have 340 entries at most, got 341",
  );
  refuses(
    uids([0, 0, 0]),
    "linux.uidMappings[0].size: must be a whole number from 1 to 4294967295, got 0",
  );
  refuses(
    uids([0, 4294967290, 6]),
    "linux.uidMappings[0].size: must end before id 4294967295, got 6 from hostID 4294967290",
  );
  refuses(
    uids([5, 0, 10], [0, 100, 6]),
    "linux.uidMappings[0].containerID: 5 is in the range of linux.uidMappings[1] already; " +
      "ranges must not overlap",
  );
  refuses(
    uids([0, 100, 10], [10, 109, 10]),
    "linux.uidMappings[1].hostID: 109 is in the range of linux.uidMappings[0] already; " +
      "ranges must not overlap",
  );
});

Deno.test("parseSpec() refuses a user when the user namespace does not map it", () => {
  refuses(
    withUserNamespace((_, config) => config.process.user.uid = 1000),
    "process.user.uid: 1000 is not mapped by linux.uidMappings",
  );
  refuses(
    withUserNamespace((_, config) => config.process.user.additionalGids = [999, 1001]),
    "process.user.additionalGids[1]: 1001 is not mapped by linux.gidMappings",
  );
});

Deno.test("parseSpec() takes the sysctls of the container's own namespaces", () => {
  const { spec } = parsed(withUserNamespace((linux) =>
    linux.sysctl = {
      "net.ipv4.ip_forward": "1",
      "net/ipv4/conf/eno2.100/rp_filter": "1",
      "kernel.shmmax": "1",
      "fs.mqueue.msg_max": "1",
      "kernel.domainname": "x",
      "user.max_user_namespaces": "0",
    }
  ));
  assertEquals(Object.keys(spec.linux.sysctl).length, 6);
});

Deno.test("parseSpec() refuses a sysctl when it would change the host's", () => {
  const sysctl = (key: string, type = "") => (c: Config) => {
    without(type)(c);
    c.linux.sysctl = { [key]: "1" };
  };
  const needs = (type: string): string =>
    `needs a namespace of type "${type}" in linux.namespaces; it would change the host's`;
  refuses(
    sysctl("vm.swappiness"),
    'linux.sysctl["vm.swappiness"]: sysctl "vm.swappiness" is not in a separate kernel namespace',
  );
  refuses(
    sysctl("kernel.core_pattern"),
    'linux.sysctl["kernel.core_pattern"]: sysctl "kernel.core_pattern" is not in a separate ' +
      "kernel namespace",
  );
  refuses(
    sysctl("net.core.somaxconn", "network"),
    `linux.sysctl["net.core.somaxconn"]: ${needs("network")}`,
  );
  refuses(sysctl("kernel/sem", "ipc"), `linux.sysctl["kernel/sem"]: ${needs("ipc")}`);
  refuses(
    sysctl("user.max_mnt_namespaces"),
    `linux.sysctl["user.max_mnt_namespaces"]: ${needs("user")}`,
  );
  refuses(
    sysctl("kernel.hostname"),
    'linux.sysctl["kernel.hostname"]: conflicts with the field hostname',
  );
});

Deno.test("parseSpec() refuses a sysctl when its name leads out of /proc/sys", () => {
  for (const key of ["net/../kernel/core_pattern", "net..core", "net.", ".net", "net/./core"]) {
    refuses(
      (c) => c.linux.sysctl = { [key]: "1" },
      `linux.sysctl[${
        JSON.stringify(key)
      }]: must be the name of a sysctl, like net.ipv4.ip_forward`,
    );
  }
});

Deno.test("sysctlPath() follows sysctl(8) when a name contains both separators", () => {
  assertEquals(sysctlPath("net.ipv4.conf.eno2/100.rp_filter"), "net/ipv4/conf/eno2.100/rp_filter");
  assertEquals(sysctlPath("net/ipv4/conf/eno2.100/rp_filter"), "net/ipv4/conf/eno2.100/rp_filter");
  assertEquals(sysctlPath("kernel"), "kernel");
});

Deno.test("parseSpec() refuses an environment variable when it is no assignment", () => {
  parsed((c) => c.process.env = ["A=", "B=c=d"]);
  for (const text of ["A", "", "=b"]) {
    refuses(
      (c) => c.process.env = ["A=b", text],
      `process.env[1]: must be of the form NAME=VALUE, got ${JSON.stringify(text)}`,
    );
  }
});

Deno.test("parseSpec() drops a capability with a warning when it is unknown", () => {
  const { spec, warnings } = parsed((c) =>
    c.process.capabilities = {
      bounding: ["CAP_KILL", "CAP_KIL", "cap_chown", "CAP_EVERYTHING", "CAP_KILL"],
      permitted: ["CAP_EVERYTHING"],
    }
  );
  assertEquals(spec.process.capabilities.bounding, ["CAP_KILL"]);
  assertEquals(spec.process.capabilities.permitted, []);
  assertEquals(warnings, [
    'process.capabilities.bounding[1]: unknown capability "CAP_KIL" (did you mean "CAP_KILL"?)',
    'process.capabilities.bounding[2]: unknown capability "cap_chown" (did you mean "CAP_CHOWN"?)',
    'process.capabilities.bounding[3]: unknown capability "CAP_EVERYTHING"',
  ]);
});

Deno.test("parseSpec() drops a capability with a warning when the kernel would not grant it", () => {
  const { spec, warnings } = parsed((c) =>
    c.process.capabilities = {
      permitted: ["CAP_KILL", "CAP_CHOWN"],
      inheritable: ["CAP_CHOWN"],
      effective: ["CAP_KILL", "CAP_BPF"],
      ambient: ["CAP_KILL", "CAP_CHOWN", "CAP_BPF"],
    }
  );
  assertEquals(spec.process.capabilities.effective, ["CAP_KILL"]);
  assertEquals(spec.process.capabilities.ambient, ["CAP_CHOWN"]);
  assertEquals(warnings, [
    "process.capabilities.effective: CAP_BPF is dropped: it is not in permitted",
    "process.capabilities.ambient: CAP_BPF is dropped: it is not in permitted",
    "process.capabilities.ambient: CAP_KILL is dropped: it is not in inheritable",
  ]);
});

Deno.test("parseSpec() checks resource limits", () => {
  const rlimits = (...list: Config[]) => (c: Config) => c.process.rlimits = list;
  const { spec } = parsed(rlimits({ type: "RLIMIT_CORE", hard: 2, soft: 1 }));
  assertEquals(spec.process.rlimits, [{ type: "RLIMIT_CORE", hard: 2n, soft: 1n }]);
  refuses(
    rlimits({ type: "RLIMIT_CORE", hard: 1, soft: 2 }),
    "process.rlimits[0].soft: must not be larger than hard, got 2 and 1",
  );
  refuses(
    rlimits({ type: "RLIMIT_CPU", hard: 1, soft: 1 }, { type: "RLIMIT_CPU", hard: 1, soft: 1 }),
    "process.rlimits[1].type: RLIMIT_CPU is there already, as process.rlimits[0]; " +
      "each type may be given once",
  );
});

Deno.test("parseSpec() ignores a console size when there is no terminal", () => {
  const size = (terminal: boolean) =>
    parsed((c) => {
      c.process.terminal = terminal;
      c.process.consoleSize = { height: 25, width: 80 };
    }).spec.process.consoleSize;
  assertEquals(size(true), { height: 25, width: 80 });
  assertEquals(size(false), undefined);
});

Deno.test("parseSpec() refuses limits of memory and swap that contradict each other", () => {
  const memory = (fields: object) => (c: Config) => c.linux.resources.memory = fields;
  parsed(memory({ limit: 4096, swap: 4096 }));
  parsed(memory({ limit: 4096, swap: -1 }));
  parsed(memory({ limit: -1, swap: -1 }));
  const field = "linux.resources.memory.swap: limits memory and swap together and";
  refuses(memory({ swap: 1 }), `${field} needs linux.resources.memory.limit`);
  refuses(memory({ swap: 1, limit: -1 }), `${field} needs linux.resources.memory.limit`);
  refuses(
    memory({ limit: 8192, swap: 4096 }),
    `${field} must be at least the memory limit, got 4096 and 8192`,
  );
});

Deno.test("parseSpec() warns when useHierarchy is false, which no kernel can do", () => {
  const memory = (useHierarchy: boolean) =>
    parsed((c) => c.linux.resources.memory = { useHierarchy }).warnings.length;
  assertEquals([memory(true), memory(false)], [0, 1]);
});
