import type { HookState } from "../hooks/run_hooks.ts";
import type { StateFile } from "../state/state_file.ts";

/** What a hook is told of the container. */
export function hookState(state: StateFile, status: HookState["status"], pid?: number): HookState {
  const { ociVersion, id, bundle, annotations } = state;
  return {
    ...{ ociVersion, id, status },
    ...(pid === undefined ? {} : { pid }),
    bundle,
    ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
  };
}
