import type { Kernel } from "../../ffi/kernel.ts";
import type { Pidfd } from "../../ffi/pidfd.ts";
import { CommandError } from "../cli/command_error.ts";
import { sendDescriptor } from "./send_descriptor.ts";

/**
 * `--pidfd-socket`: whoever listens there gets the process by a handle instead of a number, before the program's first
 * instruction. With it comes runc's word for which process it is.
 * @param kind "standard": the first of a container; "setns": one that `exec` adds.
 * @throws CommandError
 */
export function sendPidfd(
  kernel: Kernel,
  path: string,
  process: Pidfd,
  kind: "standard" | "setns",
): void {
  try {
    sendDescriptor(kernel, path, process.fd, kind);
  } catch (cause) {
    throw new CommandError(`--pidfd-socket: ${path}`, { cause });
  }
}
