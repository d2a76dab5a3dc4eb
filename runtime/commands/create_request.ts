import type { Invocation } from "../cli/command.ts";
import { CommandError } from "../cli/command_error.ts";
import { containerId } from "../cli/container_id.ts";
import type { CreateRequest } from "../container/create_container.ts";
import type { TerminalWay } from "../process/console_socket.ts";
import { passedDescriptors } from "./passed_descriptors.ts";

/** What `create` and `run` have in common on the command line. @throws CommandError */
export function createRequest(
  { globals, flags, args }: Invocation,
  terminal: TerminalWay,
): CreateRequest {
  const passed = passedDescriptors(flags);
  return {
    id: containerId(args[0] ?? ""),
    bundle: bundlePath(flags.string("bundle") ?? "."),
    root: globals.root,
    noPivot: flags.bool("no-pivot"),
    rootless: globals.rootless,
    systemdCgroup: globals.systemdCgroup,
    noNewKeyring: flags.bool("no-new-keyring"),
    ...passed,
    owner: ownerName(),
    terminal,
  };
}

/** The bundle's absolute path. @throws CommandError */
export function bundlePath(given: string): string {
  try {
    return Deno.realPathSync(given);
  } catch (cause) {
    throw new CommandError(`--bundle: ${given}`, { cause });
  }
}

/**
 * The name of the user who calls belay. As with runc, `#` and the number where the host's passwd file does not tell:
 * it has no such user, or there is none that can be read.
 */
function ownerName(): string {
  const uid = Deno.uid();
  if (uid === 0) return "root";
  let passwd;
  try {
    passwd = Deno.readTextFileSync("/etc/passwd");
  } catch {
    passwd = ""; // whatever the reason is: the name is only for people
  }
  const line = passwd.split("\n").find((each) => each.split(":")[2] === String(uid));
  return line?.split(":")[0] || `#${uid}`;
}
