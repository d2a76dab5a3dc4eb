// Clones a stub under a filter that kills one of the two at one system call, and says what that was to the driver. In a
// process of its own: a driver that waits for the dead hears nothing else either.
//
// Usage: stub_killed_entry.ts clone   the clone dies when it answers for the first time
//        stub_killed_entry.ts stub    the stub dies between its clone's descriptor and its own answer
import { syscallNumber } from "../../ffi/abi/syscall_numbers.ts";
import { PR } from "../../ffi/abi/process_flags.ts";
import { SIGNAL } from "../../ffi/abi/signals.ts";
import { close } from "../../ffi/syscalls/file.ts";
import { prctl } from "../../ffi/syscalls/process.ts";
import { seccomp_set_mode_filter } from "../../ffi/syscalls/seccomp.ts";
import { withStub } from "../ffi_world.ts";

/** linux/filter.h: struct sock_filter. */
function instruction(code: number, jumpTrue: number, jumpFalse: number, k: number): Uint8Array {
  const bytes = new DataView(new ArrayBuffer(8));
  bytes.setUint16(0, code, true);
  bytes.setUint8(2, jumpTrue);
  bytes.setUint8(3, jumpFalse);
  bytes.setUint32(4, k, true);
  return new Uint8Array(bytes.buffer);
}

/** A filter that kills whoever makes a system call with that first argument. */
function killing(number: number, argument: number): Uint8Array {
  const [LOAD, EQUAL, RETURN] = [0x20, 0x15, 0x06]; // BPF_LD | BPF_W | BPF_ABS, BPF_JMP | BPF_JEQ, BPF_RET
  const [NR, ARGUMENT] = [0, 16]; // struct seccomp_data; the lower half of the first argument
  return new Uint8Array([
    ...instruction(LOAD, 0, 0, NR),
    ...instruction(EQUAL, 0, 3, number),
    ...instruction(LOAD, 0, 0, ARGUMENT),
    ...instruction(EQUAL, 0, 1, argument),
    ...instruction(RETURN, 0, 0, 0x80000000), // SECCOMP_RET_KILL_PROCESS
    ...instruction(RETURN, 0, 0, 0x7fff0000), // SECCOMP_RET_ALLOW
  ]);
}

const [victim] = Deno.args;
await withStub((stub) => {
  // The clone's socket will have the number that is free now.
  const [socket = -1] = stub.give([0]);
  stub.call(close(socket));
  stub.batch([
    prctl(PR.PR_SET_NO_NEW_PRIVS, 1),
    seccomp_set_mode_filter(
      0,
      killing(syscallNumber(victim === "clone" ? "sendto" : "close"), socket),
    ),
  ]);
  try {
    stub.clone("clone", { flags: 0, exitSignal: SIGNAL.SIGCHLD });
    console.log("cloned");
  } catch (error) {
    console.log(`${error}`);
  }
});
