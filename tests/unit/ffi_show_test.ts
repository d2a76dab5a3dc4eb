import { assert, assertEquals } from "@std/assert";
import { showCall, showFlags } from "../../ffi/show.ts";
import * as MOUNT from "../../ffi/abi/mount_flags.ts";
import { isSyscallError, SyscallError } from "../../ffi/syscall_error.ts";
import {
  close,
  fcntl,
  makedev,
  mkdirat,
  mknodat,
  openat,
  openat2,
  write,
} from "../../ffi/syscalls/file.ts";
import { clone3, execve, pidfd_send_signal, waitid } from "../../ffi/syscalls/process.ts";
import { mount, mount_setattr } from "../../ffi/syscalls/mount.ts";
import { setns } from "../../ffi/syscalls/namespace.ts";
import { DescriptorMessage } from "../../ffi/syscalls/socket.ts";
import { thread } from "../ffi_world.ts";

Deno.test("showFlags() names bits, and tells the rest in hexadecimal when some have no name", () => {
  assertEquals(showFlags(3, { A: 1, B: 2 }), "A|B");
  assertEquals(showFlags(0, { A: 1 }), "0");
  assertEquals(showFlags(0x11, { A: 1 }), "A|0x10");
  assertEquals(showFlags(0x200000000, { HIGH: 0x200000000 }), "HIGH");
});

Deno.test("showCall() reads like the kernel's documentation when calls have flags, paths and structs", () => {
  const cases: readonly (readonly [Parameters<typeof showCall>[0], string])[] = [
    [openat(-100, "/etc", 0), 'openat(AT_FDCWD, "/etc", O_CLOEXEC, 0)'],
    [
      openat2(3, "etc/passwd", { flags: 0o10000000, resolve: 0x10 }),
      'openat2(3, "etc/passwd", {O_CLOEXEC|O_PATH, RESOLVE_IN_ROOT}, 24)',
    ],
    [mkdirat(3, "proc", 0o755), 'mkdirat(3, "proc", 0755)'],
    [
      mount("proc", ".", "proc", 0xe),
      'mount("proc", ".", "proc", MS_NODEV|MS_NOEXEC|MS_NOSUID, 0)',
    ],
    [
      mount_setattr(5, { set: 1, propagation: 0x40000 }, true),
      'mount_setattr(5, "", AT_EMPTY_PATH|AT_RECURSIVE, {set MOUNT_ATTR_RDONLY, clear 0, MS_PRIVATE}, 32)',
    ],
    [clone3({ flags: 0x40020000 }), "clone3({CLONE_NEWNS|CLONE_NEWNET}, 88)"],
    [setns(4, 0x40000000), "setns(4, CLONE_NEWNET)"],
    [
      execve("/bin/sh", ["sh", "-c", "exit 3"], ["A=b"]),
      'execve("/bin/sh", ["sh", "-c", "exit 3"], ["A=b"])',
    ],
    [pidfd_send_signal(6, 15), "pidfd_send_signal(6, SIGTERM, 0, 0)"],
    [pidfd_send_signal(6, 0), "pidfd_send_signal(6, 0, 0, 0)"],
    [waitid(6, 4), "waitid(P_PIDFD, 6, out, WEXITED, 0)"],
    [write(1, "hello"), 'write(1, "hello", 5)'],
    [write(1, new Uint8Array([0, 1, 2])), "write(1, {3 bytes}, 3)"],
    [fcntl(3, 1033, 15), "fcntl(3, F_ADD_SEALS, 15)"],
    [mknodat(3, "null", 0o20666, makedev(1, 3)), 'mknodat(3, "null", 020666, makedev(1, 3))'],
    [new DescriptorMessage([7, 8]).send(3), "sendmsg(3, SCM_RIGHTS [7, 8], MSG_NOSIGNAL)"],
  ];
  for (const [made, text] of cases) assertEquals(showCall(made), text);
});

Deno.test("showCall() knows every flag of mount(2) and attribute of mount_setattr(2) when it is given", () => {
  let flags = 0;
  for (const [name, value] of Object.entries(MOUNT)) {
    if (typeof value !== "number" || value === 0 || name.includes("__")) continue;
    flags++;
    const [made, text] = name.startsWith("MS_")
      ? [mount("a", "b", "c", value), `mount("a", "b", "c", ${name}, 0)`]
      : [
        mount_setattr(5, { set: value }, false),
        `mount_setattr(5, "", AT_EMPTY_PATH, {set ${name}, clear 0, 0}, 32)`,
      ];
    assertEquals(showCall(made), text);
  }
  assert(flags > 30);
});

Deno.test("showCall() names an earlier call's result when it is an argument", () => {
  const open = openat(-100, "/etc", 0);
  assertEquals(showCall(close(open)), "close(fd)");
  assertEquals(showCall(close(open), (earlier) => `#${earlier.name}`), "close(#openat)");
});

Deno.test("showCall() cuts what is long when somebody has to read it", () => {
  const long = showCall(execve("/bin/echo", Array(1000).fill("x".repeat(500)), []));
  assert(long.length < 1200, `${long.length}`);
  assert(long.includes("…"));
});

Deno.test("makedev() packs numbers as the kernel does when they are large", () => {
  // gnu_dev_makedev's low half is the kernel's new_encode_dev().
  assertEquals(makedev(1, 3), 0x103n);
  assertEquals(makedev(0xfff, 0xfffff), 0xffffffffn);
  assertEquals(makedev(8, 256), 0x100800n);
});

Deno.test("SyscallError tells call, arguments, meaning and name when a call fails", () => {
  const error = new SyscallError("close", 9, showCall(close(7)));
  assertEquals(error.message, "close(7): bad file descriptor (EBADF)");
  assertEquals([error.syscall, error.errno, error.code], ["close", 9, "EBADF"]);
  assert(error.is("ENOENT", "EBADF"));
  assert(!error.is("ENOENT"));
  assert(isSyscallError(error) && isSyscallError(error, "EBADF"));
  assert(!isSyscallError(error, "EPERM") && !isSyscallError(new Error("EBADF")));
});

Deno.test("Thread.call() throws a SyscallError with the path when a file is not there", () => {
  try {
    thread.call(openat(-100, "/nonexistent/ü", 0));
  } catch (error) {
    assert(isSyscallError(error, "ENOENT"));
    assertEquals(
      error.message,
      'openat(AT_FDCWD, "/nonexistent/ü", O_CLOEXEC, 0): no such file or directory (ENOENT)',
    );
    return;
  }
  throw new Error("it did not throw");
});
