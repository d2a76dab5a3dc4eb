import type { ErrnoName } from "../../ffi/abi/errno.ts";
import type { Hit } from "./injector.ts";

/** Errors of a call that a command survives without a word, and why that is right. */
interface Tolerated {
  /** What the call looks like. */
  readonly shown: RegExp;
  /** Those errors; absent: any. */
  readonly errnos?: readonly ErrnoName[];
  readonly why: string;
}

const TOLERATED: readonly Tolerated[] = [
  { shown: /^close\(/, why: "the descriptor is given back in any case" },
  {
    shown: /^(memfd_create\("belay-stub"|write\(\d+, \{\d+ bytes\}|fcntl\(\d+, F_ADD_SEALS)/,
    errnos: ["ENOSYS", "EPERM"],
    why: "the next rung: a file that has no name",
  },
  {
    shown: /^(name_to_handle_at|open_by_handle_at)\(/,
    errnos: ["ENOSYS", "EPERM"],
    why: "the next rung: the pidfs inode",
  },
  { shown: /^(close_range|mount_setattr|open_tree)\(/, errnos: ["ENOSYS"], why: "older kernels" },
  {
    shown: /^move_mount\(\d+, "", AT_FDCWD, "\/./,
    errnos: ["EPERM"],
    why: "the way to the root directory may be closed in a user namespace: attached at / then",
  },
  {
    shown: /^setsockopt\(\S+ SOL_NETLINK, NETLINK_/,
    why: "without them the kernel answers in numbers, and with more than was asked for",
  },
  { shown: /^umount2\("\/sys", MNT_DETACH\)/, why: "the new sysfs is mounted on top then" },
  { shown: /^keyctl\(/, errnos: ["ENOSYS"], why: "a kernel without keyrings has none to share" },
  { shown: /^mknodat\(/, errnos: ["EPERM"], why: "bound from the host instead" },
  { shown: /^fchown\(/, errnos: ["EPERM"], why: "standard descriptors work without it" },
  { shown: /^mkdirat\(AT_FDCWD, "\/sys\/fs\/cgroup\//, why: "made again with what is below it" },
  { shown: /^unlinkat\(AT_FDCWD, "\/sys\/fs\/cgroup\//, why: "removed again" },
  {
    shown: /cgroup\.subtree_control"|^write\(\S+ "\+/,
    why: "whether the controllers are there is looked at afterwards",
  },
  {
    shown: /^(openat|mkdirat)\(AT_FDCWD, "\/run\/belay-seccomp"|^statx\(AT_FDCWD, "\S+\/libseccomp/,
    why: "a filter that is not found, or cannot be kept, is compiled",
  },
  {
    shown: /^openat\(\d+, ("[0-9a-f]{16}"|"\.", O_WRONLY\|O_DIRECTORY\|O_CLOEXEC\|0x400000)/,
    why: "the same: a file of the cache of filters",
  },
  {
    shown: /^seccomp\(SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW\S*, 0\)/,
    why: "whether the kernel knows the flag: a filter works without it",
  },
  {
    shown: /^seccomp\(SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_\S*, 0\)/,
    errnos: ["ENOSYS", "EPERM"],
    why: "where nobody makes filters, no flag is taken, and features says so",
  },
  { shown: /^flock\(\d+, LOCK_UN\)/, why: "closing does it, too" },
  { shown: /^statx\(\d+, "", AT_EMPTY_PATH/, why: "a standard descriptor that is closed" },
  { shown: /^(chdir|getcwd)\(/, why: "done once more as the container's user" },
  {
    shown: /^openat2\(\S+ "(dev\/null|etc\/passwd)"/,
    why: "containers need have neither: the host's /dev/null stays, HOME is /",
  },
  { shown: /^statx\(fd, "", AT_EMPTY_PATH/, why: "the same /dev/null, looked at" },
  { shown: /^ioctl\(\d+, (TCGETS|TIOCGWINSZ)/, why: "what cannot be asked is no terminal" },
  { shown: /^write\(\d+, \{8 bytes\}, 8\)/, why: "a wake-up, sent once more" },
  { shown: /^read\(\d+, out, 8\)/, why: "a wake-up, whose news has come with it" },
  { shown: /^epoll_ctl\(/, errnos: ["EPERM"], why: "what cannot be waited for is a plain file" },
];

/** What is wrong with success in spite of an error: that nobody was told, and nobody has said why that is right. */
export function silent({ call, shown }: Hit, errno: ErrnoName, log: string): string[] {
  // A program that cannot be executed is told in runc's words: `exec: "/bin/x": permission denied`.
  const known = log.includes(call) || (call === "execve" && log.includes("exec: ")) ||
    TOLERATED.some((each) =>
      each.shown.test(shown) && (each.errnos === undefined || each.errnos.includes(errno))
    );
  return known
    ? []
    : [`it succeeded in spite of it and told nobody; if that is right, say why in tolerated.ts`];
}
