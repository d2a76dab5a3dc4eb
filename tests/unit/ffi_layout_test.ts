import { assert, assertEquals } from "@std/assert";
import { plain, Struct } from "../../ffi/call.ts";
import { PIDFD_INFO_LAYOUT } from "../../ffi/exit_status.ts";
import { PIDFD } from "../../ffi/abi/process_flags.ts";
import { AT, MFD, O, RESOLVE, STATX } from "../../ffi/abi/file_flags.ts";
import { CLONE, PR, RLIMIT } from "../../ffi/abi/process_flags.ts";
import * as MOUNT from "../../ffi/abi/mount_flags.ts";
import { clone3 } from "../../ffi/syscalls/process.ts";
import { openat2, statx } from "../../ffi/syscalls/file.ts";
import { mount_setattr } from "../../ffi/syscalls/mount.ts";
import { DescriptorMessage } from "../../ffi/syscalls/socket.ts";
import { EPOLL_EVENT } from "../../ffi/syscalls/event.ts";
import { noProgram, testUnless } from "../skip.ts";
import * as inC from "./in_c.ts";

const noGcc = noProgram("gcc");
const notX86 = Deno.build.arch === "x86_64" ? undefined : "the offsets were written for x86_64";

const HEADERS = [
  "fcntl.h",
  "signal.h",
  "spawn.h",
  "dirent.h",
  "sys/wait.h",
  "sys/socket.h",
  "sys/un.h",
  "sys/epoll.h",
  "sys/resource.h",
  "sys/prctl.h",
  "sys/mman.h",
  "sys/stat.h",
  "sys/statfs.h",
  "poll.h",
  "time.h",
  "linux/sched.h",
  "linux/openat2.h",
  "linux/mount.h",
  "linux/capability.h",
];

/** Checks named numbers against C. */
function agree(expected: Readonly<Record<string, number>>, newer: readonly string[] = []): void {
  inC.agree(HEADERS, expected, newer);
}

/** The struct behind a call's argument. */
function structOf(made: { readonly args: readonly unknown[] }, index: number): Struct {
  const arg = plain(made.args[index] as Struct);
  assert(arg instanceof Struct);
  return arg;
}

/** Where the fields of a struct lie. */
function offsets(struct: Struct): number[] {
  return struct.fields.map(([offset]) => offset);
}

testUnless([noGcc, notX86], "structs that calls lay out are the kernel's when C says so", () => {
  const clone = structOf(clone3({ flags: 0 }), 0);
  const how = structOf(openat2(-100, "/", { flags: 0 }), 2);
  const attr = structOf(mount_setattr(0, {}, false), 3);
  agree({
    "CLONE_ARGS_SIZE_VER2": clone.size,
    "offsetof(struct clone_args, flags)": offsets(clone)[0] ?? -1,
    "offsetof(struct clone_args, pidfd)": offsets(clone)[1] ?? -1,
    "offsetof(struct clone_args, exit_signal)": offsets(clone)[2] ?? -1,
    "offsetof(struct clone_args, cgroup)": offsets(clone)[3] ?? -1,
    "sizeof(struct open_how)": how.size,
    "offsetof(struct open_how, flags)": offsets(how)[0] ?? -1,
    "offsetof(struct open_how, mode)": offsets(how)[1] ?? -1,
    "offsetof(struct open_how, resolve)": offsets(how)[2] ?? -1,
    "sizeof(struct mount_attr)": attr.size,
    "offsetof(struct mount_attr, attr_set)": offsets(attr)[0] ?? -1,
    "offsetof(struct mount_attr, attr_clr)": offsets(attr)[1] ?? -1,
    "offsetof(struct mount_attr, propagation)": offsets(attr)[2] ?? -1,
    "sizeof(struct epoll_event)": EPOLL_EVENT.size,
    "offsetof(struct epoll_event, data)": EPOLL_EVENT.data,
    "sizeof(struct file_handle)": 8,
    "sizeof(struct timespec)": 16,
    "sizeof(struct pollfd)": 8,
    "offsetof(struct pollfd, events)": 4,
    "offsetof(struct pollfd, revents)": 6,
    "sizeof(struct rlimit64)": 16,
    "sizeof(struct __user_cap_header_struct)": 8,
    "2 * sizeof(struct __user_cap_data_struct)": 24,
  });
});

testUnless([noGcc, notX86], "structs that calls read are the kernel's when C says so", () => {
  assertEquals(structOf(statx(-100, "/", 0), 4).size, 256);
  agree({
    "sizeof(struct statx)": 256,
    "offsetof(struct statx, stx_attributes)": 8,
    "offsetof(struct statx, stx_uid)": 20,
    "offsetof(struct statx, stx_gid)": 24,
    "offsetof(struct statx, stx_mode)": 28,
    "offsetof(struct statx, stx_ino)": 32,
    "offsetof(struct statx, stx_size)": 40,
    "offsetof(struct statx, stx_rdev_major)": 128,
    "offsetof(struct statx, stx_rdev_minor)": 132,
    "offsetof(struct statx, stx_dev_major)": 136,
    "offsetof(struct statx, stx_dev_minor)": 140,
    "offsetof(struct statx, stx_mnt_id)": 144,
    "sizeof(siginfo_t)": 128,
    "offsetof(siginfo_t, si_signo)": 0,
    "offsetof(siginfo_t, si_code)": 8,
    "offsetof(siginfo_t, si_pid)": 16,
    "offsetof(siginfo_t, si_status)": 24,
    "sizeof(struct statfs)": 120,
    "offsetof(struct statfs, f_type)": 0,
    "offsetof(struct statfs, f_flags)": 80,
    "offsetof(struct dirent64, d_reclen)": 16,
    "offsetof(struct dirent64, d_type)": 18,
    "offsetof(struct dirent64, d_name)": 19,
  });
});

testUnless([noGcc, notX86], "messages with descriptors are the kernel's when C says so", () => {
  const header = structOf(new DescriptorMessage([7, 8, 9]).send(3), 1);
  const control = header.fields[2]?.[2];
  assert(control instanceof Struct);
  agree({
    "sizeof(struct msghdr)": header.size,
    "offsetof(struct msghdr, msg_iov)": offsets(header)[0] ?? -1,
    "offsetof(struct msghdr, msg_iovlen)": offsets(header)[1] ?? -1,
    "offsetof(struct msghdr, msg_control)": offsets(header)[2] ?? -1,
    "offsetof(struct msghdr, msg_controllen)": offsets(header)[3] ?? -1,
    "CMSG_SPACE(3 * sizeof(int))": control.size,
    "CMSG_LEN(3 * sizeof(int))": Number(control.fields[0]?.[2]),
    "offsetof(struct cmsghdr, cmsg_level)": offsets(control)[1] ?? -1,
    "offsetof(struct cmsghdr, cmsg_type)": offsets(control)[2] ?? -1,
    "CMSG_LEN(0)": offsets(control)[3] ?? -1,
    "SOL_SOCKET": Number(control.fields[1]?.[2]),
    "SCM_RIGHTS": Number(control.fields[2]?.[2]),
    "offsetof(struct sockaddr_un, sun_path)": 2,
    "sizeof(((struct sockaddr_un *)0)->sun_path)": 108,
  });
});

testUnless([noGcc, notX86], "posix_spawn's structs are glibc's when C says so", () => {
  // host.ts lays these out itself: each bound symbol costs start-up time.
  agree({
    "sizeof(posix_spawnattr_t)": 336,
    "offsetof(posix_spawnattr_t, __flags)": 0,
    "offsetof(posix_spawnattr_t, __sd)": 8,
    "offsetof(posix_spawnattr_t, __ss)": 136,
    "sizeof(posix_spawn_file_actions_t)": 80,
    "POSIX_SPAWN_SETSIGDEF": 4,
    "POSIX_SPAWN_SETSIGMASK": 8,
  });
});

testUnless([noGcc, notX86], "flags have the kernel's values when C knows them", () => {
  const known = (table: Readonly<Record<string, number>>, unknown: readonly string[] = []) =>
    Object.fromEntries(Object.entries(table).filter(([name]) => !unknown.includes(name)));
  agree({
    ...known(O),
    ...known(AT),
    ...known(RESOLVE),
    ...known(RLIMIT),
    // MFD_EXEC and PIDFD_* are newer than Debian 12's headers.
    ...known(MFD, ["MFD_EXEC"]),
    ...known(STATX),
    ...known(CLONE, ["CLONE_INTO_CGROUP"]),
    ...known(PR),
    ...known(MOUNT as unknown as Record<string, number>),
    "CLONE_INTO_CGROUP": CLONE.CLONE_INTO_CGROUP,
  });
});

Deno.test("PIDFD_GET_INFO carries its struct's size when it is asked with it", () => {
  // _IOWR(0xff, 11, struct pidfd_info): the size stands in bits 16-29 (asm-generic/ioctl.h).
  assertEquals((PIDFD.PIDFD_GET_INFO >>> 16) & 0x3fff, PIDFD_INFO_LAYOUT.size);
  assertEquals(PIDFD.PIDFD_GET_INFO & 0xffff, 0xff0b);
});
