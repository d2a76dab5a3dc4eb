import type { StateFile } from "../state/state_file.ts";
import { OCI_VERSION } from "../spec/oci_version.ts";
import type { Seen } from "./status.ts";

/** What `state` and `list` print of a container: runc's fields, in runc's order. */
export interface OciState {
  readonly ociVersion: string;
  readonly id: string;
  /** 0 once the container has stopped. */
  readonly pid: number;
  readonly status: string;
  readonly bundle: string;
  readonly rootfs: string;
  readonly created: string;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly owner: string;
}

/** The state of a container, for programs. */
export function ociState(id: string, state: StateFile | undefined, seen: Seen): OciState {
  const annotations = state?.annotations ?? {};
  return {
    ociVersion: state?.ociVersion ?? OCI_VERSION,
    id,
    pid: seen.init?.pid ?? 0,
    status: seen.status,
    bundle: state?.bundle ?? "",
    rootfs: state?.rootfs ?? "",
    created: state?.created ?? "",
    ...(Object.keys(annotations).length > 0 ? { annotations } : {}),
    owner: state?.owner ?? "",
  };
}
