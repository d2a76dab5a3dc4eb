/**
 * Questions to the kernel that change nothing, as `features.ts` asks them.
 *
 * @module
 */
import { attempt, type Call, call, Struct } from "./call.ts";
import type { Kernel } from "./kernel.ts";
import { Pidfd } from "./pidfd.ts";
import { exitStatus, PIDFD_INFO_LAYOUT } from "./exit_status.ts";
import { identify } from "./identity.ts";
import type { Carriers } from "./remote.ts";
import { close, fstatfs, getdents64, ioctl, openat, read, readlinkat } from "./syscalls/file.ts";
import { capget } from "./syscalls/credentials.ts";
import { getpid, waitid } from "./syscalls/process.ts";
import { named } from "./show.ts";
import { AT_FDCWD, FS_MAGIC, O } from "./abi/file_flags.ts";
import { PIDFD, PIDFD_INFO, WAIT } from "./abi/process_flags.ts";
import { isSyscallError, SyscallError } from "./syscall_error.ts";

/** What a probe found. */
export interface Finding {
  /** Undefined when it cannot be seen from here. */
  readonly available: boolean | undefined;
  /** What else was seen, or why nothing was. */
  readonly detail?: string;
}

/** A finding without details. */
export function found(available: boolean | undefined, detail?: string): Finding {
  return detail === undefined ? { available } : { available, detail };
}

/** A file's first 4 KiB, or undefined where it is not there or not for us. */
export function readSmall(kernel: Kernel, path: string): string | undefined {
  const fd = kernel.call(attempt(openat(AT_FDCWD, path, O.O_RDONLY)));
  if (fd instanceof SyscallError) return undefined; // not there on this kernel, or not readable: both are answers
  try {
    const bytes = kernel.call(attempt(read(fd, 4096)));
    return bytes instanceof SyscallError ? undefined : new TextDecoder().decode(bytes).trimEnd();
  } finally {
    kernel.call(close(fd));
  }
}

/** Whether the kernel has a call: asked with arguments that it must refuse, and any refusal but ENOSYS says yes. */
export function knows(kernel: Kernel, refused: Call<unknown>): Finding {
  const result = kernel.call(attempt(refused));
  if (!isSyscallError(result, "ENOSYS")) return found(true);
  return found(false, "ENOSYS: an older kernel, or a seccomp filter");
}

/** Whether a call that is known to do nothing succeeds. */
export function succeeds(kernel: Kernel, harmless: Call<unknown>): boolean {
  return !(kernel.call(attempt(harmless)) instanceof SyscallError);
}

/** Asks something about this very process. */
export function aboutSelf(kernel: Kernel, ask: (self: Pidfd) => Finding): Finding {
  let self: Pidfd;
  try {
    self = Pidfd.open(kernel, kernel.call(getpid()));
  } catch (error) {
    if (isSyscallError(error)) return found(false, error.message); // without pidfds nothing can be asked
    throw error;
  }
  using _owned = self;
  return ask(self);
}

/** containerd's test for pidfds: waiting for oneself by pidfd must give ECHILD, and not EINVAL. */
export function waitsByPidfd(kernel: Kernel): Finding {
  return aboutSelf(kernel, (self) => {
    const result = kernel.call(attempt(waitid(self.fd, WAIT.WEXITED)));
    return found(isSyscallError(result, "ECHILD"));
  });
}

/** Whether every pidfd has an inode of its own. */
export function hasPidfs(kernel: Kernel): Finding {
  return aboutSelf(
    kernel,
    (self) => found(kernel.call(fstatfs(self.fd)).type === FS_MAGIC.PID_FS_MAGIC),
  );
}

/** Whether a pidfd tells its process's namespaces. */
export function tellsNamespaces(kernel: Kernel): Finding {
  return aboutSelf(kernel, (self) => {
    const request = named(PIDFD.PIDFD_GET_UTS_NAMESPACE, PIDFD);
    const fd = kernel.call(attempt(ioctl(self.fd, request)));
    if (fd instanceof SyscallError) return found(false);
    kernel.call(close(fd));
    return found(true);
  });
}

/** Whether a pidfd tells about its process. */
export function tellsInfo(kernel: Kernel): Finding {
  return aboutSelf(kernel, (self) => {
    const info = new Struct(PIDFD_INFO_LAYOUT.size, [[0, 8, PIDFD_INFO.PIDFD_INFO_PID]], true);
    const request = named(PIDFD.PIDFD_GET_INFO, PIDFD);
    return found(!(kernel.call(attempt(ioctl(self.fd, request, info))) instanceof SyscallError));
  });
}

/** Whether a process can be named by a file handle. */
export function hasPidfsHandles(kernel: Kernel): Finding {
  return aboutSelf(kernel, (self) => found(identify(kernel, self).rung === "handle"));
}

/** What a stub of ours tells: whether it starts at all, from what, and whether its end is told to anybody. */
export function startsStub(carriers: Carriers): { starts: Finding; memfd: Finding; exit: Finding } {
  try {
    const stub = carriers.spawn("check");
    using pidfd = stub.pidfd;
    let exe;
    try {
      exe = stub.call(readlinkat(AT_FDCWD, "/proc/self/exe"));
    } finally {
      stub[Symbol.dispose]();
      pidfd.reap();
    }
    return {
      starts: found(true),
      memfd: found(exe.startsWith("/memfd:"), exe),
      exit: found(exitStatus(carriers.thread, pidfd) !== undefined),
    };
  } catch (error) {
    // Why it does not start is the answer.
    const unknown = found(undefined, "no stub could be started");
    return { starts: found(false, String(error)), memfd: unknown, exit: unknown };
  }
}

/** linux/capability.h; CAP_SYS_ADMIN stands for CAP_BPF, too. */
const [CAP_SYS_ADMIN, CAP_BPF] = [1n << 21n, 1n << 39n];

const BPF_PROG_QUERY = 16;
const BPF_TCX_INGRESS = 46;
const LOOPBACK = 1;

/** Whether an interface's tcx programs can be asked for (bpf(2), BPF_PROG_QUERY; a query attaches nothing). */
export function hasTcx(kernel: Kernel): Finding {
  const attr = new Struct(64, [[0, 4, LOOPBACK], [4, 4, BPF_TCX_INGRESS]], true);
  const result: unknown = kernel.call(attempt(call("bpf", BPF_PROG_QUERY, attr, attr.size)));
  if (isSyscallError(result, "EPERM")) return found(undefined, "asking needs CAP_NET_ADMIN");
  return found(!(result instanceof SyscallError));
}

/**
 * Whether the kernel tells what its iterators' programs must know (CONFIG_DEBUG_INFO_BTF), to whoever may load them. Only
 * loading one would be proof.
 */
export function describesTypes(kernel: Kernel): Finding {
  const fd = kernel.call(attempt(openat(AT_FDCWD, "/sys/kernel/btf/vmlinux", O.O_RDONLY)));
  if (fd instanceof SyscallError) return found(false, "there is no /sys/kernel/btf/vmlinux");
  kernel.call(close(fd));
  const { effective } = kernel.call(capget());
  const loads = (effective & (CAP_BPF | CAP_SYS_ADMIN)) !== 0n;
  return loads ? found(true) : found(undefined, "asking needs CAP_BPF and CAP_PERFMON");
}

/** A namespace type: whether /proc/self/ns has it. */
export function hasNamespace(kernel: Kernel, entry: string): Finding {
  const link = kernel.call(attempt(readlinkat(AT_FDCWD, `/proc/self/ns/${entry}`)));
  return found(!(link instanceof SyscallError));
}

/** Whether any user namespace may be made, as the sysctls say. */
export function mayMakeUserNamespaces(kernel: Kernel): Finding {
  if (!hasNamespace(kernel, "user").available) return found(false);
  const max = readSmall(kernel, "/proc/sys/user/max_user_namespaces");
  if (max === undefined) return found(false, "no /proc/sys/user/max_user_namespaces");
  const clone = readSmall(kernel, "/proc/sys/kernel/unprivileged_userns_clone");
  const apparmor = readSmall(kernel, "/proc/sys/kernel/apparmor_restrict_unprivileged_userns");
  const forRootAlone = clone === "0" || apparmor === "1";
  return found(Number(max) > 0, `at most ${max}${forRootAlone ? ", and for root alone" : ""}`);
}

/** How cgroups are mounted. */
export function cgroupMode(kernel: Kernel): "v2" | "hybrid" | "v1" | "none" {
  const magic = (path: string) => {
    const fd = kernel.call(attempt(openat(AT_FDCWD, path, O.O_PATH)));
    if (fd instanceof SyscallError) return undefined;
    try {
      return kernel.call(fstatfs(fd)).type;
    } finally {
      kernel.call(close(fd));
    }
  };
  switch (magic("/sys/fs/cgroup")) {
    case FS_MAGIC.CGROUP2_SUPER_MAGIC:
      return "v2";
    case FS_MAGIC.TMPFS_MAGIC:
      return magic("/sys/fs/cgroup/unified") === FS_MAGIC.CGROUP2_SUPER_MAGIC ? "hybrid" : "v1";
    default:
      return "none";
  }
}

/** The cgroup controllers that a container could be limited by. */
export function cgroupControllers(kernel: Kernel): string[] {
  const unified = readSmall(kernel, "/sys/fs/cgroup/cgroup.controllers");
  if (unified !== undefined) return unified.split(" ").filter((name) => name !== "");
  const lines = (readSmall(kernel, "/proc/cgroups") ?? "").split("\n").slice(1);
  const enabled = lines.map((line) => line.split("\t")).filter(([, , , on]) => on === "1");
  return enabled.map(([name = ""]) => name);
}

/** Whether a cgroup can be killed at once; the root cgroup cannot, so one below it is asked. */
export function killsCgroups(kernel: Kernel): Finding {
  const mode = cgroupMode(kernel);
  if (mode === "v1" || mode === "none") return found(false, "needs a cgroup2 hierarchy");
  const root = mode === "v2" ? "/sys/fs/cgroup" : "/sys/fs/cgroup/unified";
  const own = /^0::\/(.+)$/m.exec(readSmall(kernel, "/proc/self/cgroup") ?? "")?.[1];
  const name = own ?? someDirectory(kernel, root);
  if (name === undefined) {
    return found(undefined, "there is only the root cgroup, which has no file");
  }
  const fd = kernel.call(attempt(openat(AT_FDCWD, `${root}/${name}/cgroup.kill`, O.O_PATH)));
  if (fd instanceof SyscallError) return found(false);
  kernel.call(close(fd));
  return found(true);
}

const DT_DIR = 4;

/** The name of some directory below another. */
function someDirectory(kernel: Kernel, path: string): string | undefined {
  const fd = kernel.call(attempt(openat(AT_FDCWD, path, O.O_RDONLY | O.O_DIRECTORY)));
  if (fd instanceof SyscallError) return undefined;
  try {
    for (;;) {
      const entries = kernel.call(getdents64(fd));
      if (entries === undefined) return undefined;
      const directory = entries.find((entry) => entry.type === DT_DIR);
      if (directory !== undefined) return directory.name;
    }
  } finally {
    kernel.call(close(fd));
  }
}
