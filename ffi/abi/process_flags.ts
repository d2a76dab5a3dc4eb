/**
 * Flags of process system calls (linux/sched.h, linux/wait.h, linux/prctl.h, asm-generic/resource.h).
 *
 * @module
 */

/** clone3(2), unshare(2) and setns(2) flags. */
export const CLONE = {
  CLONE_NEWTIME: 0x80,
  CLONE_PIDFD: 0x1000,
  CLONE_PARENT: 0x8000,
  CLONE_NEWNS: 0x20000,
  CLONE_NEWCGROUP: 0x2000000,
  CLONE_NEWUTS: 0x4000000,
  CLONE_NEWIPC: 0x8000000,
  CLONE_NEWUSER: 0x10000000,
  CLONE_NEWPID: 0x20000000,
  CLONE_NEWNET: 0x40000000,
  CLONE_INTO_CGROUP: 0x200000000,
} as const;

/** waitid(2) id types. */
export const P = { P_ALL: 0, P_PID: 1, P_PIDFD: 3 } as const;

/** waitid(2) options. */
export const WAIT = { WNOHANG: 1, WEXITED: 4, WNOWAIT: 0x1000000 } as const;

/** prctl(2) options. */
export const PR = {
  PR_SET_PDEATHSIG: 1,
  PR_GET_DUMPABLE: 3,
  PR_SET_DUMPABLE: 4,
  PR_SET_KEEPCAPS: 8,
  PR_SET_NAME: 15,
  PR_CAPBSET_READ: 23,
  PR_CAPBSET_DROP: 24,
  PR_SET_CHILD_SUBREAPER: 36,
  PR_SET_NO_NEW_PRIVS: 38,
  PR_CAP_AMBIENT: 47,
} as const;

/** PR_CAP_AMBIENT's first argument. */
export const PR_CAP_AMBIENT = {
  PR_CAP_AMBIENT_IS_SET: 1,
  PR_CAP_AMBIENT_RAISE: 2,
  PR_CAP_AMBIENT_CLEAR_ALL: 4,
} as const;

/** Resource limits; the same numbers on x86_64 and aarch64. */
export const RLIMIT = {
  RLIMIT_CPU: 0,
  RLIMIT_FSIZE: 1,
  RLIMIT_DATA: 2,
  RLIMIT_STACK: 3,
  RLIMIT_CORE: 4,
  RLIMIT_RSS: 5,
  RLIMIT_NPROC: 6,
  RLIMIT_NOFILE: 7,
  RLIMIT_MEMLOCK: 8,
  RLIMIT_AS: 9,
  RLIMIT_LOCKS: 10,
  RLIMIT_SIGPENDING: 11,
  RLIMIT_MSGQUEUE: 12,
  RLIMIT_NICE: 13,
  RLIMIT_RTPRIO: 14,
  RLIMIT_RTTIME: 15,
} as const;

/** pidfd ioctls (linux/pidfd.h): namespaces of a process, kernel 6.11; information about it, 6.13. */
export const PIDFD = {
  PIDFD_GET_CGROUP_NAMESPACE: 0xff01,
  PIDFD_GET_IPC_NAMESPACE: 0xff02,
  PIDFD_GET_MNT_NAMESPACE: 0xff03,
  PIDFD_GET_NET_NAMESPACE: 0xff04,
  PIDFD_GET_PID_NAMESPACE: 0xff05,
  PIDFD_GET_PID_FOR_CHILDREN_NAMESPACE: 0xff06,
  PIDFD_GET_TIME_NAMESPACE: 0xff07,
  PIDFD_GET_TIME_FOR_CHILDREN_NAMESPACE: 0xff08,
  PIDFD_GET_USER_NAMESPACE: 0xff09,
  PIDFD_GET_UTS_NAMESPACE: 0xff0a,
  PIDFD_GET_INFO: 0xc050ff0b,
} as const;

/** PIDFD_GET_INFO masks: what is asked for and what was answered. PIDFD_INFO_EXIT is from kernel 6.15. */
export const PIDFD_INFO = {
  PIDFD_INFO_PID: 1,
  PIDFD_INFO_CREDS: 2,
  PIDFD_INFO_CGROUPID: 4,
  PIDFD_INFO_EXIT: 8,
} as const;
