import { assertEquals } from "@std/assert";
import type { Command } from "../../runtime/cli/command.ts";
import { commandGroup, findCommand } from "../../runtime/cli/find_command.ts";

const COMMANDS: readonly Command[] = ["run", "net add", "net delete", "network"].map((name) => ({
  ...{ name, summary: "", usage: "", flags: [], args: { min: 0, max: 9 } },
  load: () => Promise.reject(new Error("not loaded here")),
}));

function found(...words: string[]) {
  const { command, rest } = findCommand(words, COMMANDS) ?? {};
  return [command?.name, rest];
}

Deno.test("findCommand() takes one word, or two, and leaves the rest", () => {
  assertEquals(found("run"), ["run", []]);
  assertEquals(found("run", "add", "--x"), ["run", ["add", "--x"]]);
  assertEquals(found("net", "add", "--x", "id"), ["net add", ["--x", "id"]]);
  assertEquals(found("network", "add"), ["network", ["add"]]);
});

Deno.test("findCommand() finds nothing when the second word is missing or another", () => {
  for (const words of [[], ["net"], ["net", "x"], ["net", "--help"], ["add"], ["net add"]]) {
    const [name] = found(...words);
    assertEquals(name, words[0] === "net add" ? "net add" : undefined);
  }
});

Deno.test("commandGroup() gives the commands of two words that begin with one", () => {
  assertEquals(commandGroup("net", COMMANDS).map(({ name }) => name), ["net add", "net delete"]);
  assertEquals(commandGroup("run", COMMANDS), []);
  assertEquals(commandGroup("ne", COMMANDS), []);
});
