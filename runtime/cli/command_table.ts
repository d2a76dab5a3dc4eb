// What belay can do, as data. It is read at every start: no import but lazy ones, types and more data.
import type { Command, Flag } from "./command.ts";
import { NETNS_COMMANDS } from "./netns_commands.ts";
import { UPDATE_FLAGS } from "./update_flags.ts";
import { USERNS_COMMANDS } from "./userns_commands.ts";

const ID = "<container-id>";

const PIDFD_SOCKET: Flag = {
  name: "pidfd-socket",
  value: "SOCKET",
  help: "send a pidfd of the process to this unix socket",
};

const BUNDLE: Flag = {
  name: "bundle",
  short: "b",
  value: "DIR",
  help: "the bundle: the directory of config.json (default: the current one)",
};

/** What `create` and `run` have in common. */
const CREATE_FLAGS: readonly Flag[] = [
  BUNDLE,
  {
    name: "console-socket",
    value: "SOCKET",
    help: "send the master of the container's terminal to this unix socket",
  },
  { name: "pid-file", value: "FILE", help: "write the container's pid to FILE" },
  PIDFD_SOCKET,
  {
    name: "no-pivot",
    help: "do not use pivot_root(2); for a rootfs on a ramdisk, and less secure",
  },
  {
    name: "no-new-keyring",
    help: "let the container keep the caller's session keyring",
  },
  {
    name: "preserve-fds",
    value: "N",
    default: "0",
    least: 0,
    help: "pass N more file descriptors to the container, from 3 on",
  },
];

/** Every command, in the order of a container's life, then the others. */
export const COMMANDS: readonly Command[] = [
  {
    name: "create",
    summary: "make a container that waits for its start",
    usage: ID,
    description: "Sets up everything that config.json asks for and leaves a process behind that " +
      "waits. `belay start` makes it execute process.args.",
    flags: CREATE_FLAGS,
    args: { min: 1, max: 1 },
    load: () => import("../commands/create.ts"),
  },
  {
    name: "start",
    summary: "execute process.args in a created container",
    usage: ID,
    description: "Fails when the program cannot be executed, and says why.",
    flags: [],
    args: { min: 1, max: 1 },
    load: () => import("../commands/start.ts"),
  },
  {
    name: "exec",
    summary: "execute one more program in a container",
    usage: `${ID} <command> [arg...]`,
    description:
      "The program is one of the container like its first: the same namespaces, cgroups, " +
      "capabilities, limits and system call filter, as far as the flags do not change them. Passes " +
      "signals on to it and exits with its exit code, or with 128 + the number of the signal that " +
      "ended it; 255 when it could not be started.",
    flags: [
      {
        name: "console-socket",
        value: "SOCKET",
        help: "send the master of the program's terminal to this unix socket",
      },
      { name: "cwd", value: "DIR", help: "its working directory in the container" },
      {
        name: "env",
        short: "e",
        value: "NAME=VALUE",
        repeated: true,
        help: "add to its environment; may be repeated",
      },
      { name: "tty", short: "t", help: "give it a terminal" },
      { name: "user", short: "u", value: "UID[:GID]", help: "the user that it runs as" },
      {
        name: "additional-gids",
        short: "g",
        value: "GID",
        repeated: true,
        help: "a group more; may be repeated",
      },
      {
        name: "process",
        short: "p",
        value: "FILE",
        help: "read the program from FILE: `process` of a config.json",
      },
      { name: "detach", short: "d", help: "do not wait for it" },
      { name: "pid-file", value: "FILE", help: "write its pid to FILE" },
      PIDFD_SOCKET,
      { name: "process-label", value: "LABEL", help: "its SELinux label" },
      { name: "apparmor", value: "PROFILE", help: "its AppArmor profile" },
      { name: "no-new-privs", help: "it cannot gain privileges by execve(2)" },
      {
        name: "cap",
        short: "c",
        value: "CAPABILITY",
        repeated: true,
        help: "add a capability; may be repeated",
      },
      {
        name: "preserve-fds",
        value: "N",
        default: "0",
        least: 0,
        help: "pass N more file descriptors to it, from 3 on",
      },
      {
        name: "cgroup",
        value: "[CONTROLLER:]PATH",
        repeated: true,
        help: "into cgroups below the container's, which must be there; may be repeated",
      },
      { name: "ignore-paused", help: "also in a paused container, where it begins with resume" },
    ],
    args: { min: 1, max: Infinity },
    failure: 255,
    load: () => import("../commands/exec.ts"),
  },
  {
    name: "ps",
    summary: "list the processes of a container",
    usage: `${ID} [ps options]`,
    description: "The options are those of the host's ps(1); -ef when there are none.",
    flags: [
      {
        name: "format",
        short: "f",
        value: "FORMAT",
        default: "table",
        choices: ["table", "json"],
        help: "table or json",
      },
    ],
    args: { min: 1, max: Infinity },
    load: () => import("../commands/ps.ts"),
  },
  {
    name: "state",
    summary: "print a container's state as JSON",
    usage: ID,
    flags: [],
    args: { min: 1, max: 1 },
    load: () => import("../commands/state.ts"),
  },
  {
    name: "kill",
    summary: "send a signal to a container's first process",
    usage: `${ID} [signal]`,
    description: "The signal is a name, with or without SIG, or a number; TERM when none is given.",
    flags: [
      { name: "all", short: "a", help: "send it to every process of the container" },
    ],
    args: { min: 1, max: 2 },
    load: () => import("../commands/kill.ts"),
  },
  {
    name: "pause",
    summary: "stop every process of a container where it is",
    usage: ID,
    flags: [],
    args: { min: 1, max: 1 },
    load: () => import("../commands/pause.ts"),
  },
  {
    name: "resume",
    summary: "let a paused container go on",
    usage: ID,
    flags: [],
    args: { min: 1, max: 1 },
    load: () => import("../commands/resume.ts"),
  },
  {
    name: "update",
    summary: "change a container's limits",
    usage: ID,
    description: "Changes all that is asked for, or nothing. What is not asked for stays as it " +
      "is. FILE holds JSON like linux.resources of config.json; in it, and among the flags, 0 " +
      "is not set.",
    flags: [
      {
        name: "resources",
        short: "r",
        value: "FILE",
        help: "take the limits from FILE, or from standard input for -; no flags beside it",
      },
      ...UPDATE_FLAGS.map(({ name, value, help }) => ({ name, value, help })),
      ...["kernel-memory", "kernel-memory-tcp"].map((name) => ({
        name,
        value: "BYTES",
        help: "accepted for runc's sake: has no effect",
        noEffect: "Linux has no such limit any more, or runc ignores it as well",
      })),
      ...["l3-cache-schema", "mem-bw-schema"].map((name) => ({
        name,
        value: "SCHEMA",
        help: "Intel RDT; not supported",
        refused: "Intel RDT is not supported",
      })),
    ],
    args: { min: 1, max: 1 },
    load: () => import("../commands/update.ts"),
  },
  {
    name: "events",
    summary: "tell what a container uses, and when it runs out of memory",
    usage: ID,
    description: "Prints one JSON object a line until the container has ended.",
    flags: [
      {
        name: "interval",
        value: "TIME",
        default: "5s",
        help: "between two statistics: 5s, 1m30s, 250ms",
      },
      { name: "stats", help: "print the statistics once, and end" },
    ],
    args: { min: 1, max: 1 },
    load: () => import("../commands/events.ts"),
  },
  {
    name: "delete",
    summary: "release everything that a stopped container holds",
    usage: ID,
    flags: [
      {
        name: "force",
        short: "f",
        help: "kill it first when it still runs; succeed when it is not there",
      },
    ],
    args: { min: 1, max: 1 },
    load: () => import("../commands/delete.ts"),
  },
  {
    name: "run",
    summary: "create, start, wait and delete in one",
    usage: ID,
    description: "Passes signals on to the container and exits with its exit code, or with 128 + " +
      "the number of the signal that ended it.",
    flags: [
      ...CREATE_FLAGS,
      { name: "detach", short: "d", help: "do not wait for the container" },
      { name: "keep", help: "do not delete the container when it has ended" },
      {
        name: "no-subreaper",
        help: "accepted for runc's sake: belay never is a subreaper",
        noEffect: "belay never makes itself a subreaper",
      },
    ],
    args: { min: 1, max: 1 },
    load: () => import("../commands/run.ts"),
  },
  {
    name: "list",
    summary: "list the containers below the state root",
    usage: "",
    flags: [
      {
        name: "format",
        short: "f",
        value: "FORMAT",
        default: "table",
        choices: ["table", "json"],
        help: "table or json",
      },
      { name: "quiet", short: "q", help: "print ids only" },
    ],
    args: { min: 0, max: 0 },
    load: () => import("../commands/list.ts"),
  },
  {
    name: "spec",
    summary: "write a config.json to begin with",
    usage: "",
    description: "The container it describes executes sh on a terminal. An existing config.json " +
      "is never overwritten.",
    flags: [
      { ...BUNDLE, help: "where config.json is written to (default: the current directory)" },
      { name: "rootless", help: "for a user who is not root: a user namespace, no cgroups" },
    ],
    args: { min: 0, max: 0 },
    load: () => import("../commands/spec.ts"),
  },
  {
    name: "features",
    summary: "tell what belay can do, as JSON for programs",
    usage: "",
    description: "The features document of the OCI runtime specification.",
    flags: [],
    args: { min: 0, max: 0 },
    load: () => import("../commands/features.ts"),
  },
  {
    name: "check",
    summary: "tell what this kernel offers and what belay uses of it",
    usage: "",
    flags: [{ name: "json", help: "print JSON instead of a table" }],
    args: { min: 0, max: 0 },
    load: () => import("../commands/check.ts"),
  },
  {
    name: "plan",
    summary: "print the system calls that a container would take",
    usage: "",
    description: "Reads the bundle and makes nothing; root is not needed.",
    flags: [BUNDLE, { name: "json", help: "print JSON instead of text" }],
    args: { min: 0, max: 0 },
    load: () => import("../commands/plan.ts"),
  },
  ...NETNS_COMMANDS,
  ...USERNS_COMMANDS,
];

/** runc's other commands: known, so that the error can say so; podman asks `checkpoint --help`. */
export const MISSING_COMMANDS: readonly string[] = [
  "checkpoint",
  "restore",
];
