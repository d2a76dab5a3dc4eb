// The commands of `belay netns`, as data: see command_table.ts.
import type { Command, Flag } from "./command.ts";

const NAME = "<name>";
const ANY = Number.MAX_SAFE_INTEGER;
const JSON_FLAG: Flag = { name: "json", help: "print JSON" };
const COUNT: Flag = {
  name: "count",
  value: "N",
  least: 1,
  most: 100_000,
  help: "N of them, with 1 to N behind the name",
};

/** Network namespaces by name, the same ones that `ip netns` has. */
export const NETNS_COMMANDS: readonly Command[] = [
  {
    name: "netns add",
    summary: "make a network namespace with a name",
    usage: NAME,
    description: "It is below /run/netns, where `ip netns` finds it, too.",
    flags: [
      {
        name: "veth",
        value: "HOST[:INSIDE]",
        help: "with a link from here (HOST) to there (INSIDE; default: eth0), both ends up",
      },
      { name: "host-address", value: "ADDRESS/PREFIX", help: "the address of the end here" },
      { name: "address", value: "ADDRESS/PREFIX", help: "the address of the end there" },
      { ...COUNT, help: "N of them, with 1 to N behind the name, and behind HOST" },
      JSON_FLAG,
    ],
    flagsAnywhere: true,
    args: { min: 1, max: 1 },
    load: () => import("../commands/netns/add.ts"),
  },
  {
    name: "netns delete",
    summary: "take the name from a network namespace",
    usage: `${NAME}...`,
    description: "The namespace ends when nothing else holds it.",
    flags: [
      { ...COUNT, help: "those that `add --count N` makes" },
      { name: "force", short: "f", help: "succeed when it is not there" },
      JSON_FLAG,
    ],
    flagsAnywhere: true,
    args: { min: 1, max: ANY },
    load: () => import("../commands/netns/delete.ts"),
  },
  {
    name: "netns exec",
    summary: "run a program in a network namespace",
    usage: `${NAME} <program> [argument...]`,
    description: "As `ip netns exec` does: /sys tells about that network, and the files of " +
      "/etc/netns/NAME stand in the place of those of /etc. Exits with the program's exit code, " +
      "or with 128 + the number of the signal that ended it.",
    flags: [{ name: "json", help: "print how it ended, as JSON, when it has ended" }],
    args: { min: 2, max: ANY },
    load: () => import("../commands/netns/exec.ts"),
  },
  {
    name: "netns identify",
    summary: "print the names of a process's network namespace",
    usage: "[pid]",
    description: "Without a pid: of belay's own.",
    flags: [JSON_FLAG],
    flagsAnywhere: true,
    args: { min: 0, max: 1 },
    load: () => import("../commands/netns/identify.ts"),
  },
  {
    name: "netns repair",
    summary: "remove names that interrupted commands left",
    usage: "",
    description: "A command that is ended in the middle can leave a file in /run/netns on which " +
      "no namespace is mounted. Files of belay's are removed at once, others when they are ten " +
      "seconds old.",
    flags: [
      { name: "force", short: "f", help: "also those that may be in use this very moment" },
      JSON_FLAG,
    ],
    flagsAnywhere: true,
    args: { min: 0, max: 0 },
    load: () => import("../commands/netns/repair.ts"),
  },
  {
    name: "netns list",
    summary: "list every network namespace of the machine and what keeps it",
    usage: "",
    description:
      "A network namespace lives as long as a process or thread is in it, it is mounted " +
      "somewhere, or somebody has a descriptor of it, of a socket in it, or of a tun device's. " +
      "All of these are found, in every mount namespace that has a process.",
    flags: [
      {
        name: "held-by",
        value: "KIND",
        repeated: true,
        choices: ["process", "thread", "mount", "nsfs", "socket", "tun"],
        help: "only namespaces with such a holder",
      },
      { name: "only", help: "with --held-by: and with no holder of another kind" },
      {
        name: "long",
        short: "l",
        help: "also their owners, nsids and the links inside (as --json always does)",
      },
      { name: "tree", help: "below the user namespaces that own them" },
      { ...JSON_FLAG, help: "print JSON: an array, with every holder" },
      { name: "watch", short: "w", help: "go on, and tell what changes" },
      {
        name: "interval",
        value: "MS",
        default: "1000",
        least: 10,
        help: "with --watch: milliseconds between two looks",
      },
      {
        name: "scan",
        value: "WAY",
        default: "auto",
        choices: ["auto", "bpf", "proc"],
        help: "how to look: with the kernel's iterators, through /proc, or what works (auto)",
      },
    ],
    args: { min: 0, max: 0 },
    load: () => import("../commands/netns/list.ts"),
  },
  {
    name: "netns doctor",
    summary: "find what was left behind in network namespaces, and end it",
    usage: "",
    description: "Finds names without a namespace (file), filters that send packets to a link " +
      "that is gone (filter), tun and TAP devices without a process (tap), veths whose other end " +
      "is nowhere (veth), and namespaces that descriptors alone keep (holder), whoever made " +
      "them. Exits with 1 when anything is left.",
    flags: [
      {
        name: "only",
        value: "KIND",
        repeated: true,
        choices: ["file", "filter", "tap", "veth", "holder"],
        help: "look for this alone",
      },
      { name: "fix", help: "end what is certainly dead, and ask before the rest" },
      { name: "yes", short: "y", help: "with --fix: do not ask" },
      { ...JSON_FLAG, help: "print JSON: an array; nothing is asked then" },
    ],
    args: { min: 0, max: 0 },
    load: () => import("../commands/netns/doctor.ts"),
  },
];
