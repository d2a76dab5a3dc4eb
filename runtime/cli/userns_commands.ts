// The commands of `belay userns`, as data: see command_table.ts.
import type { Command, Flag } from "./command.ts";

function map(name: string, what: string): Flag {
  return {
    name,
    value: "C:H:N[,...]",
    repeated: true,
    help: `N ${what} from C on in the namespace are those from H on outside; several ranges ` +
      "with commas, or the flag several times",
  };
}

/** User namespaces, pinned by name or with a command in them. */
export const USERNS_COMMANDS: readonly Command[] = [
  {
    name: "userns new",
    summary: "make a user namespace, and pin it or run a command in it",
    usage: "[--] [<command> [<argument>...]]",
    description: "With --name it lives until PATH is unmounted. With a command it lives as long " +
      "as that, which runs as id 0 of the namespace, or as the first id that is mapped; belay " +
      "hands signals on to it and exits with its exit code.",
    flags: [
      map("uid-map", "user ids"),
      map("gid-map", "group ids"),
      { name: "name", value: "PATH", help: "pin it at PATH: a new file, or one that is empty" },
      { name: "json", help: "print what was made as one line of JSON" },
    ],
    args: { min: 0, max: Number.MAX_SAFE_INTEGER },
    load: () => import("../commands/userns/new.ts"),
  },
];
