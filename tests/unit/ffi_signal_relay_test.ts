import { assert, assertEquals, assertThrows } from "@std/assert";
import { assembler, assembleRelay } from "../../scripts/stub.ts";
import { relaySignals } from "../../ffi/signal_relay.ts";
import { SIGNAL_RELAY } from "../../ffi/signal_relay/bytes.ts";
import { execve } from "../../ffi/syscalls/process.ts";
import { SIGNAL } from "../../ffi/abi/signals.ts";
import { PROT } from "../../ffi/syscalls/memory.ts";
import { SA, SIGACTION } from "../../ffi/syscalls/signal.ts";
import { noProgram, testUnless } from "../skip.ts";
import { agree } from "./in_c.ts";
import { host, thread } from "../ffi_world.ts";

for (const arch of ["x86_64", "aarch64"] as const) {
  const prefix = assembler(arch);
  testUnless(
    prefix === undefined ? `no assembler for ${arch}` : undefined,
    `SIGNAL_RELAY is what the sources give when they are assembled for ${arch}`,
    () => {
      const bytes = [...assembleRelay(arch, prefix ?? "")];
      const text = bytes.map((byte) => byte.toString(16).padStart(2, "0")).join("");
      assertEquals(SIGNAL_RELAY[arch], text);
    },
  );
}

testUnless(noProgram("gcc"), "SA, SIGACTION and PROT are the kernel's when C says so", () => {
  const { size, ...places } = SIGACTION;
  agree(["asm/signal.h"], {
    ...SA,
    "sizeof(struct sigaction)": size,
    ...Object.fromEntries(
      Object.entries(places).map(([name, at]) => [`offsetof(struct sigaction, sa_${name})`, at]),
    ),
  });
  agree(["sys/mman.h"], PROT);
});

/** The signals that this process has a handler for (proc_pid_status(5), SigCgt). */
function caught(): bigint {
  const status = Deno.readTextFileSync("/proc/self/status");
  return BigInt(`0x${/^SigCgt:\s*(\S+)$/m.exec(status)?.[1] ?? ""}`);
}

for (const signal of [SIGNAL.SIGUSR2, 34, 37, 64]) {
  Deno.test(`relaySignals() hands it on, while this thread is blocked, when signal ${signal} comes`, () => {
    const before = caught();
    const stub = host.spawn("relayed");
    using pidfd = stub.pidfd;
    {
      using _relay = relaySignals(thread, pidfd, [signal]);
      assertEquals(caught(), before | 1n << BigInt(signal - 1));
      // A shell that signals its parent, which is this process, and then is what this thread waits for.
      const script = `kill -${signal} $PPID; exec sleep 1000`;
      stub.exec([execve("/bin/sh", ["/bin/sh", "-c", script], [])]);
      assert(pidfd.waitSync(20_000), "the signal came back to who had sent it");
      assertEquals(pidfd.reap().signal, signal);
    }
    assertEquals(caught(), before, "what it meant before");
  });
}

Deno.test("relaySignals() throws when signals are handed on already", () => {
  const stub = host.spawn("relayed");
  using pidfd = stub.pidfd;
  {
    using _relay = relaySignals(thread, pidfd, [SIGNAL.SIGUSR2]);
    assertThrows(() => relaySignals(thread, pidfd, [SIGNAL.SIGUSR1]), Error, "already");
  }
  relaySignals(thread, pidfd, [SIGNAL.SIGUSR1])[Symbol.dispose]();
  stub[Symbol.dispose]();
  pidfd.reap();
});

Deno.test("relaySignals() takes all of it back when one of the numbers is no signal", () => {
  const before = caught();
  const stub = host.spawn("relayed");
  using pidfd = stub.pidfd;
  const { SIGUSR2, SIGKILL } = SIGNAL;
  assertThrows(() => relaySignals(thread, pidfd, [SIGUSR2, 64, SIGKILL, 40]), Error, "EINVAL");
  assertEquals(caught(), before);
  // Nor is it busy.
  relaySignals(thread, pidfd, [SIGUSR2])[Symbol.dispose]();
  assertEquals(caught(), before);
  stub[Symbol.dispose]();
  pidfd.reap();
});
