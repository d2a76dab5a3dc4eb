import type { Carriers, Remote } from "../../../ffi/remote.ts";
import { readFile } from "../../../ffi/files.ts";
import { isMapped, type MappedRange } from "../../../ffi/id_map.ts";
import { getUsernsFd } from "../../../ffi/user_namespace.ts";
import { isSyscallError } from "../../../ffi/syscall_error.ts";
import { setgroups, setresgid, setresuid } from "../../../ffi/syscalls/credentials.ts";
import { close, statx } from "../../../ffi/syscalls/file.ts";
import { setns } from "../../../ffi/syscalls/namespace.ts";
import { AT, AT_FDCWD } from "../../../ffi/abi/file_flags.ts";
import { CLONE } from "../../../ffi/abi/process_flags.ts";
import { signalName } from "../../../ffi/abi/signals.ts";
import { absolutePath } from "../../cli/absolute_path.ts";
import type { Run } from "../../cli/command.ts";
import { CommandError } from "../../cli/command_error.ts";
import { writeStdout } from "../../cli/write_stdout.ts";
import { exitCodeOf, runInStub } from "../../process/run_program.ts";
import { parseIdMap } from "../../userns/parse_id_map.ts";
import { pinNamespace } from "../../userns/pin_namespace.ts";
import { hostCarriers } from "../host_carriers.ts";

/** What is asked for, and printed with --json. */
interface Maps {
  readonly uidMappings: readonly MappedRange[];
  readonly gidMappings: readonly MappedRange[];
}

/** `belay userns new`: makes a user namespace, and pins it or runs a command in it. */
export const run: Run = ({ globals, flags, args }) => {
  const maps = {
    uidMappings: parseIdMap("uid-map", flags.strings("uid-map")),
    gidMappings: parseIdMap("gid-map", flags.strings("gid-map")),
  };
  const name = flags.string("name");
  if (name === undefined && args.length === 0) {
    throw new CommandError(
      "it needs --name PATH or a command: else the namespace would end at once",
    );
  }
  if (name !== undefined && args.length > 0) {
    throw new CommandError(
      "--name PATH and a command are two ways to keep the namespace: give one",
    );
  }
  const carriers = hostCarriers(globals);
  const json = flags.bool("json");
  return name === undefined
    ? runInside(carriers, maps, args, json)
    : pinned(carriers, maps, absolutePath(name), json);
};

function pinned(carriers: Carriers, maps: Maps, path: string, json: boolean): number {
  const { thread } = carriers;
  const userns = make(carriers, maps);
  let inode;
  try {
    inode = Number(thread.call(statx(userns, "", AT.AT_EMPTY_PATH)).ino);
    pinNamespace(thread, userns, path);
  } finally {
    thread.call(close(userns));
  }
  writeStdout(
    json ? `${JSON.stringify({ userns: inode, path, ...maps })}\n` : `user:[${inode}] ${path}\n`,
  );
  return 0;
}

async function runInside(
  carriers: Carriers,
  maps: Maps,
  args: readonly string[],
  json: boolean,
): Promise<number> {
  const { thread } = carriers;
  let inode;
  const ended = await runInStub(carriers, "userns-new", (stub) => {
    const userns = make(carriers, maps);
    try {
      inode = Number(thread.call(statx(userns, "", AT.AT_EMPTY_PATH)).ino);
      enter(stub, userns, maps);
    } finally {
      thread.call(close(userns));
    }
  }, args);
  if (json) {
    const { pid, code, signal = 0 } = ended;
    const how = code === undefined ? { signal: signalName(signal) } : { exitCode: code };
    writeStdout(`${JSON.stringify({ userns: inode, ...maps, pid, ...how })}\n`);
  }
  return exitCodeOf(ended);
}

/** Makes it. @throws CommandError when the kernel does not let this user. */
function make(carriers: Carriers, { uidMappings, gidMappings }: Maps): number {
  try {
    return getUsernsFd(carriers, uidMappings, gidMappings);
  } catch (cause) {
    if (!isSyscallError(cause, "EPERM") || cause.syscall !== "write") throw cause;
    throw new CommandError(
      "the kernel refuses the maps (user_namespaces(7)): without CAP_SETUID and CAP_SETGID only one's own id can be " +
        "mapped, and only ids that one's own namespace has",
      { cause },
    );
  }
}

/** Puts a stub into the namespace, as its root or, where 0 is nobody, as the first id that is mapped. */
function enter(stub: Remote, userns: number, { uidMappings, gidMappings }: Maps): void {
  const [there = -1] = stub.give([userns]);
  stub.batch([setns(there, CLONE.CLONE_NEWUSER), close(there)]);
  // Where belay is not root, or root of a namespace of another user's: its groups stay, and nobody is told otherwise.
  const mayGroup = readFile(stub, AT_FDCWD, "/proc/self/setgroups").startsWith("allow");
  stub.batch([
    ...(mayGroup ? [setgroups([])] : []),
    setresgid(firstId(gidMappings)),
    setresuid(firstId(uidMappings)),
  ]);
}

function firstId(ranges: readonly MappedRange[]): number {
  return isMapped(0, ranges) ? 0 : ranges[0]?.containerID ?? 0;
}
