// Many containers at once, and one after the other.
import { assertEquals } from "@std/assert";
import { ALL, all, type Check } from "./checks.ts";
import type { Cli } from "./cli.ts";
import { SLEEPER } from "./life_checks.ts";

const SEQUENCE = ALL ? 200 : 12;
const AT_ONCE = 20;

/** The checks. */
export const manyChecks: readonly Check<Cli>[] = [
  {
    name: `${AT_ONCE} containers started at once, and removed at once`,
    async run(cli) {
      const before = cli.stage.census();
      await atOnce(cli, AT_ONCE);
      await cli.stage.assertUnchanged(before);
    },
  },
  {
    name: `${SEQUENCE} containers in sequence, and nothing is left`,
    async run(cli) {
      const before = cli.stage.census();
      for (let i = 0; i < SEQUENCE; i++) {
        const { code, stdout, stderr } = await cli.run([], [
          "sh",
          "-c",
          `echo ${i}; exit ${i % 100}`,
        ]);
        assertEquals({ code, stdout, stderr }, { code: i % 100, stdout: `${i}\n`, stderr: "" });
      }
      await cli.stage.assertUnchanged(before);
    },
  },
];

/** Starts so many containers at once, runs something in each, and removes them at once. */
export async function atOnce(cli: Cli, count: number): Promise<void> {
  const names = Array.from({ length: count }, () => cli.name());
  try {
    await all(
      names.map((name) =>
        cli.ok("run", "-d", "--name", name, ...cli.flags([]), "bb:local", ...SLEEPER)
      ),
    );
    const outputs = await all(names.map((name) => cli.ok("exec", name, "echo", name)));
    assertEquals(outputs, names);
  } finally {
    await cli.ok("rm", "-f", ...names);
  }
}
