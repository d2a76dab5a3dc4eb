import { CommandError } from "../cli/command_error.ts";
import { printable } from "../cli/printable.ts";

/**
 * The lines of a table of ps(1) whose PID is among those, with its headline.
 * @throws CommandError when no column is called PID.
 */
export function linesOf(table: string, pids: ReadonlySet<number>): string {
  const [head = "", ...lines] = table.split("\n");
  const column = head.trim().split(/\s+/).indexOf("PID");
  if (column < 0) {
    throw new CommandError("couldn't find PID field in ps output");
  }
  const own = lines.filter((line) => pids.has(Number(line.trim().split(/\s+/)[column])));
  // What its processes are called a container chooses itself, and ps(1) need not be one that minds.
  return [head, ...own].map((line) => `${printable(line)}\n`).join("");
}
