import { assertEquals, assertThrows } from "@std/assert";
import { CommandError } from "../../runtime/cli/command_error.ts";
import { linesOf } from "../../runtime/process/ps_table.ts";

const TABLE = `UID        PID  PPID CMD
root         7     1 sleep 12
root        12     7 sh -c 7
root        70     1 PID 7
`;

Deno.test("linesOf() keeps the headline and the lines of those processes", () => {
  assertEquals(
    linesOf(TABLE, new Set([12])),
    "UID        PID  PPID CMD\nroot        12     7 sh -c 7\n",
  );
  assertEquals(linesOf(TABLE, new Set()), "UID        PID  PPID CMD\n");
  assertEquals(linesOf("  PID COMMAND\n    7 a\n", new Set([7])), "  PID COMMAND\n    7 a\n");
});

Deno.test("linesOf() makes control characters visible, which a process has in its name", () => {
  assertEquals(
    linesOf("PID CMD\n7 \x1b[2Ja\x9bb\tc\n", new Set([7])),
    "PID CMD\n7 \\x1b[2Ja\\x9bb\\x09c\n",
  );
});

Deno.test("linesOf() refuses a table without a column for numbers", () => {
  assertThrows(() => linesOf("USER COMMAND\nroot a\n", new Set([1])), CommandError, "PID field");
  assertThrows(() => linesOf("", new Set([1])), CommandError, "PID field");
});
