import { absolutePath } from "./absolute_path.ts";
import type { Flag, Globals } from "./command.ts";
import { CommandError } from "./command_error.ts";
import { isInitialUidMap } from "../security/initial_uid_map.ts";
import type { LogOptions } from "../log/open_log.ts";
import type { ParsedFlags } from "./parsed_flags.ts";

/** The flags that stand before the command. */
export const GLOBAL_FLAGS: readonly Flag[] = [
  {
    name: "root",
    value: "DIR",
    help: "keep the containers' state here (default: /run/belay, or " +
      "$XDG_RUNTIME_DIR/belay for other users than root, also under rootless podman)",
  },
  { name: "log", value: "FILE", help: "append log lines to FILE instead of writing to stderr" },
  {
    name: "log-format",
    value: "FORMAT",
    default: "text",
    choices: ["text", "json"],
    help: "text or json",
  },
  { name: "debug", help: "log more, and stacks with errors" },
  {
    name: "trace",
    value: "FILE",
    help: "write a timeline of all system calls to FILE (open it in ui.perfetto.dev)",
  },
  {
    name: "rootless",
    value: "WHEN",
    default: "auto",
    choices: ["true", "false", "auto"],
    help: "ignore cgroup permission errors: true, false or auto",
  },
  {
    name: "systemd-cgroup",
    help: "have systemd make cgroups; linux.cgroupsPath is slice:prefix:name then",
  },
  {
    name: "criu",
    value: "PATH",
    help: "where criu is (not supported)",
    refused: "belay has no checkpoint and restore",
  },
  { name: "version", short: "v", help: "print versions" },
];

/** Where the log goes: all that has to be known before anything can fail. */
export function readLogOptions(flags: ParsedFlags): LogOptions {
  const log = flags.string("log");
  return {
    logFormat: flags.string("log-format") === "json" ? "json" : "text",
    debug: flags.bool("debug"),
    ...(log === undefined || log === "" ? {} : { log }),
  };
}

/**
 * What all the flags say, with the state root resolved.
 *
 * @throws {CommandError} when the root is `/`.
 */
export function readGlobals(flags: ParsedFlags): Globals {
  const root = absolutePath(flags.string("root") ?? defaultRoot());
  if (root === "/") throw new CommandError("--root: it must not be /");
  const trace = flags.string("trace");
  return {
    ...readLogOptions(flags),
    root,
    systemdCgroup: flags.bool("systemd-cgroup"),
    rootless: rootless(flags.string("rootless")),
    ...(trace === undefined || trace === "" ? {} : { trace }),
  };
}

function rootless(value: string | undefined): Globals["rootless"] {
  return value === "true" || value === "false" ? value : "auto";
}

function defaultRoot(): string {
  const runtimeDir = Deno.env.get("XDG_RUNTIME_DIR") ?? "";
  return runtimeDir === "" || isRoot() ? "/run/belay" : `${runtimeDir}/belay`;
}

/**
 * Whether /run is the caller's. It is not of the root that rootless podman gives itself in a user namespace, whose USER is
 * the user's name; in a container of its own it is, and USER is root. That is runc's rule.
 */
function isRoot(): boolean {
  if (Deno.uid() !== 0) return false;
  if (Deno.env.get("USER") === "root") return true;
  try {
    return isInitialUidMap(Deno.readTextFileSync("/proc/self/uid_map"));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return true; // a kernel without user namespaces
    throw error;
  }
}
