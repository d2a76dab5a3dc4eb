import type { Run } from "../cli/command.ts";
import { containerId } from "../cli/container_id.ts";
import { writeStdout } from "../cli/write_stdout.ts";
import { ociState } from "../container/oci_state.ts";
import { seeContainer } from "../container/status.ts";
import { StateDir } from "../state/state_dir.ts";
import { frozen } from "../container/frozen.ts";
import { hostThread } from "./host_thread.ts";

/** `belay state`: the container's state as JSON. */
export const run: Run = ({ globals, args }) => {
  const thread = hostThread();
  const id = containerId(args[0] ?? "");
  using dir = StateDir.expect(thread, globals.root, id);
  const state = dir.read();
  const seen = seeContainer(thread, dir, state, () => frozen(thread, state));
  using _init = seen.init;
  writeStdout(JSON.stringify(ociState(id, state, seen), null, 2) + "\n");
  return 0;
};
