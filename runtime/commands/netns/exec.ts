import { close, statx } from "../../../ffi/syscalls/file.ts";
import type { ExitStatus } from "../../../ffi/syscalls/process.ts";
import { AT } from "../../../ffi/abi/file_flags.ts";
import { signalName } from "../../../ffi/abi/signals.ts";
import type { Run } from "../../cli/command.ts";
import { writeStdout } from "../../cli/write_stdout.ts";
import { enterNetns, openNetns } from "../../netns/enter_netns.ts";
import { netnsName } from "../../netns/netns_name.ts";
import { exitCodeOf, runInStub } from "../../process/run_program.ts";
import { hostCarriers } from "../host_carriers.ts";

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
    ended = await runInStub(
      carriers,
      "netns-exec",
      (stub) => enterNetns(carriers, stub, name, namespace, log),
      argv,
    );
  } finally {
    thread.call(close(namespace));
  }
  const { pid, code, signal = 0 } = ended;
  if (flags.bool("json")) {
    const how = code === undefined ? { signal: signalName(signal) } : { exitCode: code };
    writeStdout(`${JSON.stringify({ name, netns, pid, ...how })}\n`);
  }
  return exitCodeOf(ended);
};
