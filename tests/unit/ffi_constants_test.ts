// Every table of constants in ffi/ against the kernel's headers, and what of union bpf_attr and others is laid out.
import { assertEquals } from "@std/assert";
import { plain, Struct } from "../../ffi/call.ts";
import * as BPF_CODE from "../../ffi/abi/bpf_instructions.ts";
import * as FILE from "../../ffi/abi/file_flags.ts";
import * as PROCESS from "../../ffi/abi/process_flags.ts";
import { TERMIOS, TERMIOS_CC, TERMIOS_FLAG, TTY_IOCTL, WINSIZE } from "../../ffi/abi/tty.ts";
import { bpf_link_create_tcx, bpf_prog_attach, bpf_prog_load } from "../../ffi/syscalls/bpf.ts";
import * as ITERATOR from "../../ffi/syscalls/bpf_iterator.ts";
import { EPOLL, EPOLL_CTL, IN, POLL } from "../../ffi/syscalls/event.ts";
import { HOLDER_IOCTL, SO } from "../../ffi/syscalls/holder.ts";
import { FSCONFIG, MNT_DETACH, MOVE_MOUNT, OPEN_TREE } from "../../ffi/syscalls/mount.ts";
import { PER } from "../../ffi/syscalls/process.ts";
import * as SCHEDULING from "../../ffi/syscalls/scheduling.ts";
import * as SECCOMP from "../../ffi/syscalls/seccomp.ts";
import { AF_UNIX, MSG, SOCK, UNIX_PATH_MAX } from "../../ffi/syscalls/socket.ts";
import { fileProgram, ITERATOR_MEMBERS, threadProgram } from "../../ffi/task_iterators.ts";
import { noProgram, testUnless } from "../skip.ts";
import { agree } from "./in_c.ts";

const noGcc = noProgram("gcc");
const notX86 = Deno.build.arch === "x86_64" ? undefined : "the offsets were written for x86_64";

testUnless(noGcc, "flags of files and processes are the kernel's when C says so", () => {
  const { LOCK, F, F_SEAL, S_IF } = FILE;
  agree(["fcntl.h", "sys/file.h", "sys/stat.h", "sys/mman.h", "sys/wait.h", "unistd.h"], {
    ...{ ...LOCK, ...F, ...F_SEAL, ...S_IF, ...PROCESS.P },
    ...{ WNOHANG: PROCESS.WAIT.WNOHANG, WEXITED: PROCESS.WAIT.WEXITED },
    ...{ WNOWAIT: PROCESS.WAIT.WNOWAIT, FD_CLOEXEC: FILE.FD_CLOEXEC, O_TMPFILE: FILE.O_TMPFILE },
    AT_FDCWD: FILE.AT_FDCWD,
  });
  agree(["linux/close_range.h", "linux/fs.h", "linux/prctl.h", "linux/stat.h", "linux/nsfs.h"], {
    CLOSE_RANGE_CLOEXEC: FILE.CLOSE_RANGE_CLOEXEC,
    RENAME_NOREPLACE: FILE.RENAME_NOREPLACE,
    STATX_ATTR_MOUNT_ROOT: FILE.STATX_ATTR_MOUNT_ROOT,
    ...PROCESS.PR_CAP_AMBIENT,
  });
  agree(["linux/magic.h"], FILE.FS_MAGIC, ["PID_FS_MAGIC"]);
  agree(["sys/personality.h"], PER);
});

testUnless(noGcc, "flags of mounts are the kernel's when C says so", () => {
  agree(["fcntl.h", "linux/mount.h"], { ...OPEN_TREE, ...MOVE_MOUNT, ...FSCONFIG });
  agree(["sys/mount.h"], { MNT_DETACH });
});

testUnless(noGcc, "numbers of sockets and of waiting are the kernel's when C says so", () => {
  agree(["sys/socket.h", "linux/un.h"], {
    ...{ ...SOCK, ...MSG, ...SO, AF_UNIX },
    ...{ UNIX_PATH_MAX, SO_RCVTIMEO: 20, SO_SNDTIMEO: 21 },
  });
  agree(["poll.h", "sys/epoll.h", "sys/inotify.h"], { ...POLL, ...EPOLL, ...EPOLL_CTL, ...IN });
  agree(["linux/nsfs.h", "linux/sockios.h", "linux/if_tun.h", "linux/kcmp.h"], {
    ...HOLDER_IOCTL,
    KCMP_FILES: 2,
  });
});

testUnless(noGcc, "numbers of terminals are the kernel's when C says so", () => {
  const { cc, size, ...words } = TERMIOS;
  agree(["asm/ioctls.h", "asm/termbits.h", "sys/ioctl.h"], {
    ...{ ...TTY_IOCTL, ...TERMIOS_FLAG, ...TERMIOS_CC },
    "sizeof(struct termios)": size,
    "offsetof(struct termios, c_cc)": cc,
    ...Object.fromEntries(
      Object.entries(words).map(([name, at]) => [`offsetof(struct termios, c_${name})`, at]),
    ),
    "sizeof(struct winsize)": WINSIZE.size,
    "offsetof(struct winsize, ws_row)": WINSIZE.rows,
    "offsetof(struct winsize, ws_col)": WINSIZE.columns,
  });
});

testUnless(noGcc, "numbers of scheduling and of filters are the kernel's when C says so", () => {
  const { SCHED_ISO: _reservedAndNotDefined, SCHED_OTHER, ...policies } = SCHEDULING.SCHED;
  agree(["linux/sched.h", "linux/sched/types.h", "linux/ioprio.h"], {
    ...{
      SCHED_NORMAL: SCHED_OTHER,
      ...policies,
      ...SCHEDULING.SCHED_FLAG,
      ...SCHEDULING.IOPRIO_CLASS,
    },
    ...{ IOPRIO_CLASS_SHIFT: 13, IOPRIO_WHO_PROCESS: 1 },
  });
  agree(["linux/seccomp.h", "linux/filter.h", "linux/bpf_common.h"], {
    ...{ ...SECCOMP.SECCOMP, ...SECCOMP.SECCOMP_FILTER_FLAG },
    BPF_MAXINSNS: SECCOMP.BPF_MAXINSNS,
    "sizeof(struct sock_filter)": SECCOMP.SOCK_FILTER_SIZE,
    "sizeof(struct sock_fprog)": 16,
    "offsetof(struct sock_fprog, filter)": 8,
  });
});

/** Where the fields of a call's struct are. */
function offsets(made: { readonly args: readonly unknown[] }, index: number): number[] {
  const struct = plain(made.args[index] as Struct);
  return struct instanceof Struct ? struct.fields.map(([at]) => at) : [];
}

testUnless([noGcc, notX86], "the structs of bpf(2) and sched_setattr(2) are the kernel's", () => {
  const fields = (type: string, names: readonly string[], at: readonly number[]) => {
    assertEquals(names.length, at.length, type);
    return Object.fromEntries(
      names.map((name, i) => [`offsetof(${type}, ${name})`, at[i] ?? -1]),
    );
  };
  const bytes = new Uint8Array(8);
  const load = ["prog_type", "insn_cnt", "insns", "license"];
  const attach = ["target_fd", "attach_bpf_fd", "attach_type", "attach_flags"];
  const link = (name: string) => `link_create.${name}`;
  const iterator = [...load, "expected_attach_type", "attach_btf_id"];
  agree(["linux/bpf.h"], {
    ...fields("union bpf_attr", load, offsets(bpf_prog_load(1, bytes, "GPL"), 1)),
    ...fields("union bpf_attr", attach, offsets(bpf_prog_attach(1, 2, 3, 4), 1)),
    ...fields(
      "union bpf_attr",
      ["prog_fd", "target_ifindex", "attach_type"].map(link),
      offsets(bpf_link_create_tcx(1, 2), 1),
    ),
    ...fields("union bpf_attr", iterator, offsets(ITERATOR.bpf_iterator_load(1, bytes), 1)),
    ...fields(
      "union bpf_attr",
      ["prog_fd", "attach_type"].map(link),
      offsets(ITERATOR.bpf_iterator_link(1), 1),
    ),
    ...fields("union bpf_attr", ["iter_create.link_fd"], offsets(ITERATOR.bpf_iter_create(1), 1)),
    "offsetof(union bpf_attr, query.attach_type)": 4,
  });
  const attr = { policy: 0, flags: 0, nice: 0, priority: 0, runtime: 0, deadline: 0, period: 0 };
  const names = ["size", ...Object.keys(attr)].map((name) => `sched_${name}`)
    .map((name) => name === "sched_size" ? "size" : name);
  agree(["linux/types.h", "linux/sched/types.h"], {
    "sizeof(struct sched_attr)": 56,
    ...fields("struct sched_attr", names, offsets(SCHEDULING.sched_setattr(attr), 1)),
  });
});

testUnless(noGcc, "BPF instructions and helpers have the kernel's numbers when C says so", () => {
  const { ldx, stx, callHelper, FP } = BPF_CODE;
  const code = (each: BPF_CODE.BpfInstruction) => each.code;
  const members = Object.fromEntries(ITERATOR_MEMBERS.map((name, i) => [name, i * 8]));
  const programs = [threadProgram, fileProgram].map((make) => make({ functions: {}, members }));
  const helpers = new Set(programs.flatMap(calledHelpers));
  assertEquals(helpers.size, 4);
  const sizes = [[1, "B"], [2, "H"], [4, "W"], [8, "DW"]] as const;
  agree(["linux/bpf.h"], {
    ...Object.fromEntries(sizes.flatMap(([width, name]) => [
      [`BPF_LDX|BPF_MEM|BPF_${name}`, code(ldx(width, 1, 2, 0))],
      [`BPF_STX|BPF_MEM|BPF_${name}`, code(stx(width, 1, 0, 2))],
    ])),
    "BPF_ALU64|BPF_MOV|BPF_X": code(BPF_CODE.move(1, 2)),
    "BPF_ALU64|BPF_MOV|BPF_K": code(BPF_CODE.set(1, 2)),
    "BPF_ALU64|BPF_ADD|BPF_K": code(BPF_CODE.add(1, 2)),
    "BPF_ALU64|BPF_ADD|BPF_X": code(BPF_CODE.addRegister(1, 2)),
    "BPF_ALU64|BPF_AND|BPF_K": code(BPF_CODE.and(1, 2)),
    "BPF_ALU64|BPF_LSH|BPF_K": code(BPF_CODE.shiftLeft(1, 2)),
    "BPF_JMP|BPF_JEQ|BPF_K": code(BPF_CODE.skipIfEqual(1, 2, 3)),
    "BPF_JMP|BPF_JNE|BPF_K": code(BPF_CODE.skipIfNot(1, 2, 3)),
    "BPF_JMP|BPF_JNE|BPF_X": code(BPF_CODE.skipIfDifferent(1, 2, 3)),
    "BPF_JMP|BPF_JEQ|BPF_X": code(BPF_CODE.skipIfSame(1, 2, 3)),
    "BPF_JMP|BPF_CALL": code(callHelper(1)),
    "BPF_JMP|BPF_EXIT": code(BPF_CODE.finish()[1] ?? { code: -1 }),
    BPF_REG_10: FP,
    ...Object.fromEntries(
      ["get_current_task", "probe_read_kernel", "seq_write", "sock_from_file"]
        .map((name) => [`BPF_FUNC_${name}`, name] as const)
        .map(([name], i) => [name, [...helpers].sort((a, b) => a - b)[i] ?? -1]),
    ),
  });
});

/** The numbers of the helpers that a program calls. */
function calledHelpers(program: Uint8Array): number[] {
  const view = new DataView(program.buffer);
  return Array.from({ length: program.length / 8 }, (_, i) => i * 8)
    .filter((at) => view.getUint8(at) === 0x85).map((at) => view.getInt32(at + 4, true));
}
