import { assert, assertEquals, assertThrows } from "@std/assert";
import { ERRNO } from "../../ffi/abi/errno.ts";
import type { Call } from "../../ffi/call.ts";
import { Host } from "../../ffi/host.ts";
import type { Kernel } from "../../ffi/kernel.ts";
import { assemble, assembler } from "../../scripts/stub.ts";
import { stubElf, stubMemfd } from "../../ffi/stub_image.ts";
import { STUB_BUFFER_ADDRESS, STUB_BUFFER_SIZE } from "../../ffi/stub/protocol.ts";
import { close, fcntl, readlinkat, write } from "../../ffi/syscalls/file.ts";
import { F } from "../../ffi/abi/file_flags.ts";
import { getpid } from "../../ffi/syscalls/process.ts";
import { SyscallError } from "../../ffi/syscall_error.ts";
import { noProgram, testUnless } from "../skip.ts";
import { openFds, thread, withStub } from "../ffi_world.ts";

for (const arch of ["x86_64", "aarch64"] as const) {
  const prefix = assembler(arch);
  testUnless(
    prefix === undefined ? `no assembler for ${arch}` : undefined,
    `stubElf() is what the sources give when they are assembled for ${arch}`,
    () => assertEquals(stubElf(arch), assemble(arch, prefix ?? "")),
  );

  Deno.test(`stubElf() is a static ELF without writable code when it is for ${arch}`, () => {
    const elf = stubElf(arch);
    const view = new DataView(elf.buffer);
    assertEquals([...elf.subarray(0, 7)], [0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
    assertEquals(view.getUint16(16, true), 2, "ET_EXEC");
    assertEquals(view.getUint16(18, true), arch === "x86_64" ? 62 : 183, "e_machine");
    assertEquals(view.getUint16(60, true), 0, "no sections");
    const entry = view.getBigUint64(24, true);
    const segments = Array.from({ length: view.getUint16(56, true) }, (_, i) => {
      const at = Number(view.getBigUint64(32, true)) + i * 56;
      return {
        type: view.getUint32(at, true),
        flags: view.getUint32(at + 4, true),
        address: view.getBigUint64(at + 16, true),
        inFile: view.getBigUint64(at + 32, true),
        inMemory: view.getBigUint64(at + 40, true),
      };
    });
    const loaded = segments.filter((each) => each.type === 1);
    assertEquals(loaded.map((each) => each.flags), [5, 6], "read+execute, read+write");
    for (const { flags } of segments) assert((flags & 3) !== 3, "writable and executable");
    const [text, data] = loaded;
    assert(text !== undefined && data !== undefined);
    assert(entry >= text.address && entry < text.address + text.inMemory);
    assert(text.inFile <= BigInt(elf.length));
    assertEquals(data.inFile, 0n);
    assertEquals(data.address, STUB_BUFFER_ADDRESS);
    assertEquals(data.inMemory, BigInt(STUB_BUFFER_SIZE));
    assert(
      segments.some((each) => each.type === 0x6474e551 && each.flags === 6),
      "no PT_GNU_STACK",
    );
  });
}

Deno.test("stubMemfd() cannot be changed when it is made", () => {
  const fd = stubMemfd(thread);
  try {
    assertEquals(thread.call(fcntl(fd, F.F_GET_SEALS)), 0xf);
    assertThrows(() => thread.call(write(fd, "x")), SyscallError, "EPERM");
    const opened = Deno.openSync(`/proc/self/fd/${fd}`, { write: true });
    try {
      assertThrows(() => opened.writeSync(new Uint8Array(1)), Deno.errors.PermissionDenied);
      assertThrows(() => opened.truncateSync(0), Deno.errors.PermissionDenied);
    } finally {
      opened.close();
    }
  } finally {
    thread.call(close(fd));
  }
});

Deno.test("stub: its /proc/PID/exe cannot be written to when it runs", async () => {
  await withStub((stub) => {
    stub.call(getpid());
    const exe = `/proc/${stub.pidfd.pid}/exe`;
    assertEquals(Deno.readLinkSync(exe), "/memfd:belay-stub (deleted)");
    assertEquals(Deno.readFileSync(exe), stubElf());
    // ETXTBSY while it runs; the seals hold afterwards.
    assertThrows(() => Deno.openSync(exe, { write: true }), Error, "Text file busy");
  });
});

/** Runs a module in a Deno of its own, with some memfd_create(2) failing. */
function withoutMemfd(code: string): string {
  const world = new URL("../ffi_world.ts", import.meta.url).href;
  const dir = Deno.makeTempDirSync();
  try {
    Deno.writeTextFileSync(`${dir}/t.ts`, `import { thread, withStub } from "${world}";\n${code}`);
    const { success, stdout, stderr } = new Deno.Command("strace", {
      args: [
        ...["-f", "-o", "/dev/null", "-e", "trace=memfd_create"],
        ...["-e", "inject=memfd_create:error=EACCES"],
        ...[Deno.execPath(), "run", "-A", "--no-check", `${dir}/t.ts`],
      ],
    }).outputSync();
    assert(success, new TextDecoder().decode(stderr));
    return new TextDecoder().decode(stdout).trim();
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
}

testUnless(
  noProgram("strace"),
  "Host.spawn() starts the stub from a file without a name when executable memfds are forbidden",
  () => {
    const exe = withoutMemfd(
      "await withStub((stub) => console.log(Deno.readLinkSync(`/proc/${stub.pidfd.pid}/exe`)))",
    );
    assert(/^\/tmp\/#\d+ \(deleted\)$/.test(exe), exe);
  },
);

Deno.test("stub: readlink of its executable works through itself when nobody else looks", async () => {
  const exe = await withStub((stub) => stub.call(readlinkat(-100, "/proc/self/exe")));
  assertEquals(exe, "/memfd:belay-stub (deleted)");
});

Deno.test("Host.spawn() executes no half of a stub when the disk is full", () => {
  const answer = (made: Call<unknown>): unknown => {
    if (made.name === "memfd_create") throw new SyscallError("memfd_create", ERRNO.EACCES, "memfd");
    return made.name === "write" ? 100 : thread.call(made);
  };
  const kernel = { call: answer, batch: (calls: Call<unknown>[]) => calls.map(answer) };
  const before = openFds();
  const full = new Host("/tmp", kernel as unknown as Kernel);
  assertThrows(() => full.spawn("test"), Error, "the stub's file in /tmp was not written whole");
  assertEquals(openFds(), before);
});
