import { errnoName } from "../../ffi/abi/errno.ts";
import { type RecordedCall, Recorder } from "../../ffi/recorder.ts";
import type { Run } from "../cli/command.ts";
import { CommandError } from "../cli/command_error.ts";
import { writeStdout } from "../cli/write_stdout.ts";
import { createContainer, leaveCreated } from "../container/create_container.ts";
import { startProcess } from "../container/start_process.ts";
import { HostScript } from "../plan/host_script.ts";
import { makeTerminal } from "../process/make_terminal.ts";
import { loadSpec } from "../spec/load_spec.ts";
import { bundlePath } from "./create_request.ts";

/** The id that a plan uses for the container. */
const ID = "planned";
const PROCESS_WIDTH = 7;

/**
 * `belay plan`: every system call that `create` and `start` would make for a bundle, in order, by process. Nothing is
 * executed, and no privilege is needed: the very same code runs on a carrier that only records.
 */
export const run: Run = async ({ globals, flags, log }) => {
  if (globals.systemdCgroup) {
    throw new CommandError("--systemd-cgroup: a plan has no systemd to ask; leave it out");
  }
  const bundle = bundlePath(flags.string("bundle") ?? ".");
  const recorder = new Recorder(new HostScript(loadSpec(bundle).spec.root.path).answer);
  const request = {
    ...{ id: ID, bundle, root: globals.root, owner: "root" },
    ...{
      rootless: globals.rootless,
      systemdCgroup: false,
      noPivot: false,
      noNewKeyring: false,
      preserveFds: 0,
      extraEnv: [],
    },
    terminal: { check: () => {}, make: makeTerminal },
  };
  const created = await createContainer(recorder, request, log);
  leaveCreated(recorder, created);
  const boundary = recorder.calls.length;
  const init = recorder.wake("init", created.dir.controlPath, created.init.pidfd);
  await startProcess(recorder, init, created.dir, created.state, created.exec);
  const create = recorder.calls.slice(0, boundary);
  const start = recorder.calls.slice(boundary);
  writeStdout(flags.bool("json") ? json(create, start) : text(create, start));
  return 0;
};

function json(create: readonly RecordedCall[], start: readonly RecordedCall[]): string {
  const program = (calls: readonly RecordedCall[]) =>
    calls.map(({ process, name, text, result }) => ({ process, name, call: text, result }));
  return JSON.stringify({ create: program(create), start: program(start) }, null, 2) + "\n";
}

function text(create: readonly RecordedCall[], start: readonly RecordedCall[]): string {
  const section = (title: string, calls: readonly RecordedCall[]) =>
    `# ${title}: ${calls.length} system calls\n` + calls.map(line).join("");
  return section("create", create) + "\n" + section("start", start);
}

/** Like strace(1): a result is shown where it is one. */
function line({ process, text, result }: RecordedCall): string {
  const answer = result === 0 ? "" : result < 0 ? ` = ${errnoName(-result)}` : ` = ${result}`;
  return `${process.padEnd(PROCESS_WIDTH)} ${text}${answer}\n`;
}
