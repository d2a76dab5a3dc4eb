import type { Remote } from "../../../ffi/remote.ts";
import { close, statx } from "../../../ffi/syscalls/file.ts";
import type { ExitStatus } from "../../../ffi/syscalls/process.ts";
import { AT } from "../../../ffi/abi/file_flags.ts";
import { SIGNAL, signalName } from "../../../ffi/abi/signals.ts";
import type { Run } from "../../cli/command.ts";
import { writeStdout } from "../../cli/write_stdout.ts";
import { enterNetns, openNetns } from "../../netns/enter_netns.ts";
import { netnsName } from "../../netns/netns_name.ts";
import { runProgram } from "../../process/run_program.ts";
import { hostCarriers } from "../host_carriers.ts";

/** A shell's exit code for a process that a signal ended. */
const SIGNAL_BASE = 128;

/** `belay netns exec`: runs a program in a network namespace; its exit code is belay's. */
export const run: Run = async ({ globals, flags, args: [given = "", ...argv], log }) => {
  const carriers = hostCarriers(globals);
  const { thread } = carriers;
  const name = netnsName(given);
  const namespace = openNetns(thread, name);
  let ended: ExitStatus;
  let netns: number;
  try {
    netns = Number(thread.call(statx(namespace, "", AT.AT_EMPTY_PATH)).ino);
    using stub = carriers.spawn("netns-exec");
    using _pidfd = stub.pidfd;
    try {
      enterNetns(carriers, stub, name, namespace, log);
      ended = await runProgram(thread, stub, argv, environment());
    } catch (error) {
      end(stub);
      throw error;
    }
  } finally {
    thread.call(close(namespace));
  }
  const { pid, code, signal = 0 } = ended;
  if (flags.bool("json")) {
    const how = code === undefined ? { signal: signalName(signal) } : { exitCode: code };
    writeStdout(`${JSON.stringify({ name, netns, pid, ...how })}\n`);
  }
  return code ?? SIGNAL_BASE + signal;
};

function environment(): string[] {
  return Object.entries(Deno.env.toObject()).map(([name, value]) => `${name}=${value}`);
}

/** After a failure: whether it still is a stub or the program already, it must not go on alone. */
function end(stub: Remote): void {
  try {
    stub[Symbol.dispose]();
    stub.pidfd.signal(SIGNAL.SIGKILL);
    stub.pidfd.reap();
  } catch {
    // The error that is told is the one that came first; a zombie stays at most until belay ends.
  }
}
