import type { Invocation, Run } from "../cli/command.ts";
import { printable } from "../cli/printable.ts";
import { writeStdout } from "../cli/write_stdout.ts";
import { type OciState, ociState } from "../container/oci_state.ts";
import { frozen } from "../container/frozen.ts";
import { seeContainer } from "../container/status.ts";
import { StateDir } from "../state/state_dir.ts";
import { hostThread } from "./host_thread.ts";

const COLUMNS = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"] as const;
/** runc's table (Go's tabwriter): columns at least 12 wide, with three spaces between them. */
const LEAST_WIDTH = 12;
const GAP = 3;

/** `belay list`: the containers of a state root. */
export const run: Run = (invocation) => {
  const states = listStates(invocation);
  if (invocation.flags.bool("quiet")) {
    writeStdout(states.map(({ id }) => `${printable(id)}\n`).join(""));
  } else if (invocation.flags.string("format") === "json") {
    writeStdout(states.length === 0 ? "null" : JSON.stringify(states));
  } else writeStdout(table(states));
  return 0;
};

function listStates({ globals }: Invocation): OciState[] {
  const thread = hostThread();
  return StateDir.list(thread, globals.root).flatMap((id) => {
    using dir = StateDir.open(thread, globals.root, id);
    if (dir === undefined) return []; // deleted since the directory was read
    const state = dir.read();
    const seen = seeContainer(thread, dir, state, () => frozen(thread, state));
    using _init = seen.init;
    return [ociState(id, state, seen)];
  });
}

function table(states: readonly OciState[]): string {
  const rows = [
    [...COLUMNS],
    ...states.map(({ id, pid, status, bundle, created, owner }) =>
      [id, String(pid), status, bundle, created, owner].map(printable)
    ),
  ];
  const widths = COLUMNS.map((_, column) =>
    Math.max(LEAST_WIDTH, ...rows.map((row) => (row[column]?.length ?? 0) + GAP))
  );
  const line = (row: readonly string[]) =>
    row.map((cell, i) => i === row.length - 1 ? cell : cell.padEnd(widths[i] ?? 0)).join("");
  return rows.map((row) => line(row) + "\n").join("");
}
