import { OCI_VERSION } from "./oci_version.ts";

/** What the kind of host changes in the default configuration. */
export interface DefaultSpecOptions {
  /** The host uses cgroup v2 alone: then, as with runc, there is a cgroup namespace, too. */
  readonly cgroup2?: boolean;
}

const CAPABILITIES = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];

/**
 * The configuration that `belay spec` writes: what `runc spec` (1.1.5) writes, in the same order,
 * with belay's name and version. One thing is left out, the ambient capabilities: the kernel does
 * not raise what is not inheritable, so they never were there (runc 1.2 dropped them, too).
 * Written with `JSON.stringify(spec, null, "\t")` it looks like runc's.
 */
export function defaultSpec(options: DefaultSpecOptions = {}): object {
  return {
    ...head(),
    mounts: [
      ...MOUNTS_BEFORE_PTS,
      pts(["gid=5"]),
      ...MOUNTS_AFTER_PTS,
      {
        destination: "/sys",
        type: "sysfs",
        source: "sysfs",
        options: ["nosuid", "noexec", "nodev", "ro"],
      },
      CGROUP_MOUNT,
    ],
    linux: {
      resources: { devices: [{ allow: false, access: "rwm" }] },
      namespaces: namespaces(["pid", "network", "ipc", "uts", "mount"], options),
      ...PATHS,
    },
  };
}

/**
 * What `runc spec --rootless` writes: a user namespace in which the caller is root, no network
 * namespace (nobody could configure it), /sys bound from the host, no gid= option (only one id is
 * mapped) and no limits.
 */
export function rootlessSpec(
  ids: { readonly uid: number; readonly gid: number },
  options: DefaultSpecOptions = {},
): object {
  return {
    ...head(),
    mounts: [
      ...MOUNTS_BEFORE_PTS,
      pts([]),
      ...MOUNTS_AFTER_PTS,
      {
        destination: "/sys",
        type: "none",
        source: "/sys",
        options: ["rbind", "nosuid", "noexec", "nodev", "ro"],
      },
      CGROUP_MOUNT,
    ],
    linux: {
      uidMappings: [{ containerID: 0, hostID: ids.uid, size: 1 }],
      gidMappings: [{ containerID: 0, hostID: ids.gid, size: 1 }],
      namespaces: [
        ...namespaces(["pid", "ipc", "uts", "mount"], options),
        { type: "user" },
      ],
      ...PATHS,
    },
  };
}

function head(): object {
  return {
    ociVersion: OCI_VERSION,
    process: {
      terminal: true,
      user: { uid: 0, gid: 0 },
      args: ["sh"],
      env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
      cwd: "/",
      capabilities: {
        bounding: CAPABILITIES,
        effective: CAPABILITIES,
        permitted: CAPABILITIES,
      },
      rlimits: [{ type: "RLIMIT_NOFILE", hard: 1024, soft: 1024 }],
      noNewPrivileges: true,
    },
    root: { path: "rootfs", readonly: true },
    hostname: "belay",
  };
}

function namespaces(types: readonly string[], { cgroup2 }: DefaultSpecOptions): object[] {
  return [...types, ...(cgroup2 === true ? ["cgroup"] : [])].map((type) => ({ type }));
}

function pts(owner: readonly string[]): object {
  const options = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", ...owner];
  return { destination: "/dev/pts", type: "devpts", source: "devpts", options };
}

const MOUNTS_BEFORE_PTS: readonly object[] = [
  { destination: "/proc", type: "proc", source: "proc" },
  {
    destination: "/dev",
    type: "tmpfs",
    source: "tmpfs",
    options: ["nosuid", "strictatime", "mode=755", "size=65536k"],
  },
];

const MOUNTS_AFTER_PTS: readonly object[] = [
  {
    destination: "/dev/shm",
    type: "tmpfs",
    source: "shm",
    options: ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"],
  },
  {
    destination: "/dev/mqueue",
    type: "mqueue",
    source: "mqueue",
    options: ["nosuid", "noexec", "nodev"],
  },
];

const CGROUP_MOUNT: object = {
  destination: "/sys/fs/cgroup",
  type: "cgroup",
  source: "cgroup",
  options: ["nosuid", "noexec", "nodev", "relatime", "ro"],
};

const PATHS: object = {
  maskedPaths: [
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/sys/firmware",
    "/proc/scsi",
  ],
  readonlyPaths: ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
};
