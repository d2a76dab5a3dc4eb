/**
 * System call numbers (asm/unistd_64.h for x86_64, asm-generic/unistd.h for aarch64). From 424 on both
 * architectures count alike. A call that an architecture does not have is not in this table: callers use the
 * `*at` form that both have.
 *
 * @module
 */

/** name → [x86_64, aarch64] */
const TABLE = {
  read: [0, 63],
  write: [1, 64],
  close: [3, 57],
  lseek: [8, 62],
  mmap: [9, 222],
  mprotect: [10, 226],
  munmap: [11, 215],
  rt_sigaction: [13, 134],
  ioctl: [16, 29],
  getpid: [39, 172],
  gettid: [186, 178],
  tgkill: [234, 131],
  sendfile: [40, 71],
  utimensat: [280, 88],
  sendto: [44, 206],
  recvfrom: [45, 207],
  socket: [41, 198],
  connect: [42, 203],
  sendmsg: [46, 211],
  recvmsg: [47, 212],
  bind: [49, 200],
  listen: [50, 201],
  socketpair: [53, 199],
  setsockopt: [54, 208],
  getsockopt: [55, 209],
  waitid: [247, 95],
  fcntl: [72, 25],
  flock: [73, 32],
  fsync: [74, 82],
  ftruncate: [77, 46],
  getcwd: [79, 17],
  chdir: [80, 49],
  fchdir: [81, 50],
  fchmod: [91, 52],
  fchown: [93, 55],
  umask: [95, 166],
  getuid: [102, 174],
  getgid: [104, 176],
  geteuid: [107, 175],
  setsid: [112, 157],
  setgroups: [116, 159],
  setresuid: [117, 147],
  setresgid: [119, 149],
  capget: [125, 90],
  capset: [126, 91],
  fstatfs: [138, 44],
  prctl: [157, 167],
  pivot_root: [155, 41],
  chroot: [161, 51],
  mount: [165, 40],
  umount2: [166, 39],
  sethostname: [170, 161],
  setdomainname: [171, 162],
  getdents64: [217, 61],
  clock_gettime: [228, 113],
  clock_nanosleep: [230, 115],
  exit_group: [231, 94],
  keyctl: [250, 219],
  openat: [257, 56],
  mkdirat: [258, 34],
  mknodat: [259, 33],
  fchownat: [260, 54],
  unlinkat: [263, 35],
  symlinkat: [266, 36],
  linkat: [265, 37],
  readlinkat: [267, 78],
  fchmodat: [268, 53],
  ppoll: [271, 73],
  unshare: [272, 97],
  ioprio_set: [251, 30],
  epoll_ctl: [233, 21],
  epoll_pwait: [281, 22],
  accept4: [288, 242],
  eventfd2: [290, 19],
  epoll_create1: [291, 20],
  inotify_init1: [294, 26],
  inotify_add_watch: [254, 27],
  personality: [135, 92],
  dup3: [292, 24],
  pipe2: [293, 59],
  prlimit64: [302, 261],
  name_to_handle_at: [303, 264],
  open_by_handle_at: [304, 265],
  setns: [308, 268],
  kcmp: [312, 272],
  sched_setaffinity: [203, 122],
  sched_setattr: [314, 274],
  seccomp: [317, 277],
  renameat2: [316, 276],
  memfd_create: [319, 279],
  bpf: [321, 280],
  execveat: [322, 281],
  execve: [59, 221],
  statx: [332, 291],
  pidfd_send_signal: [424, 424],
  open_tree: [428, 428],
  move_mount: [429, 429],
  fsopen: [430, 430],
  fsconfig: [431, 431],
  fsmount: [432, 432],
  pidfd_open: [434, 434],
  clone3: [435, 435],
  close_range: [436, 436],
  openat2: [437, 437],
  pidfd_getfd: [438, 438],
  faccessat2: [439, 439],
  mount_setattr: [442, 442],
} as const;

/** A system call by the kernel's name. */
export type SyscallName = keyof typeof TABLE;

/** An architecture that belay runs on. */
export type Arch = "x86_64" | "aarch64";

/** The number of a system call on an architecture. */
export function syscallNumber(name: SyscallName, arch: Arch = Deno.build.arch): number {
  return TABLE[name][arch === "x86_64" ? 0 : 1];
}

/** Every system call that belay may make. */
export function syscallNames(): SyscallName[] {
  return Object.keys(TABLE) as SyscallName[];
}
