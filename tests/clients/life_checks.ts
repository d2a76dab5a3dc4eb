// What users of docker and podman do with a container: run, exec, pause, stop, look.
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { until } from "../e2e/census.ts";
import type { Check } from "./checks.ts";
import type { Cli } from "./cli.ts";
import { NOT_EXECUTABLE } from "./image.ts";

/** Sleeps until it is told to end, and does so at once. */
export const SLEEPER = ["sh", "-c", "trap 'exit 0' TERM; echo ready; while :; do sleep 0.05; done"];

/** The checks. */
export const lifeChecks: readonly Check<Cli>[] = [
  {
    name: "run: output, errors and exit code",
    async run(cli) {
      const ended = await cli.run([], ["sh", "-c", "echo out; echo err >&2; exit 7"]);
      assertEquals(ended, { code: 7, stdout: "out\n", stderr: "err\n" });
    },
  },
  {
    name: "run: a command that is not there ends with 127",
    async run(cli) {
      assertEquals((await cli.run([], ["nosuch"])).code, 127);
      assertEquals((await cli.run([], ["/no/such"])).code, 127);
    },
  },
  {
    name: "run: a file that may not be executed ends with 126",
    async run(cli) {
      assertEquals((await cli.run([], [NOT_EXECUTABLE])).code, 126);
    },
  },
  {
    name: "run: a program killed by a signal ends with 128 + its number",
    async run(cli) {
      // A pid namespace's first process is not killed by itself: its child is.
      assertEquals((await cli.run([], ["sh", "-c", "sh -c 'kill -9 $$'; exit $?"])).code, 137);
    },
  },
  {
    name: "run: stdin",
    async run(cli) {
      const stdin = "line\n".repeat(20_000);
      assertEquals((await cli.run(["-i"], ["wc", "-l"], { stdin })).stdout, "20000\n");
    },
  },
  {
    name: "run -t: a terminal",
    async run(cli) {
      const command = ["sh", "-c", "test -t 0 && test -t 2 && tty; exit 3"];
      const ended = await cli.onTerminal([
        ...["run", "--rm", "-it", ...cli.flags([]), "bb:local", ...command],
      ]);
      assertEquals(ended.code, 3);
      assertMatch(ended.stdout, /\/dev\/pts\/0\n/);
    },
  },
  {
    name: "run: user, groups, directory, environment, hostname",
    async run(cli) {
      const flags = ["--user", "app", "--group-add", "4321", "--workdir", "/var/full", "--env"];
      const script = "id -u; id -G; pwd; echo $A; hostname";
      assertEquals(
        (await cli.output([...flags, "A=b c", "--hostname", "stage"], ["sh", "-c", script]))
          .split("\n").map((line) => line.trim().replace("1000 2000 4321", "1000 4321")),
        ["1000", "1000 4321", "/var/full", "b c", "stage"],
      );
    },
  },
  {
    name: "exec: output, exit code, user, directory, environment",
    run: (cli) =>
      cli.beside([], SLEEPER, async (name) => {
        const flags = ["--user", "app", "--workdir", "/var", "--env", "A=b c"];
        const script = "id -u; pwd; echo $A; echo err >&2; exit 5";
        assertEquals(
          await cli.try(["exec", ...flags, name, "sh", "-c", script]),
          { code: 5, stdout: "1000\n/var\nb c\n", stderr: "err\n" },
        );
      }),
  },
  {
    name: "exec: a command that is not there, a file that may not be executed",
    run: (cli) =>
      cli.beside([], SLEEPER, async (name) => {
        // docker 20.10 ends with 126 for both, podman with 127 for the first.
        const { code, stdout, stderr } = await cli.try(["exec", name, "nosuch"]);
        assertEquals(code, cli.client === "docker" ? 126 : 127);
        assertMatch(stdout + stderr, /executable file .*not found in \$PATH/);
        assertEquals((await cli.try(["exec", name, NOT_EXECUTABLE])).code, 126);
      }),
  },
  {
    name: "exec: stdin, and in the background",
    run: (cli) =>
      cli.beside([], SLEEPER, async (name) => {
        const stdin = "line\n".repeat(20_000);
        assertEquals(
          (await cli.try(["exec", "-i", name, "wc", "-l"], { stdin })).stdout,
          "20000\n",
        );
        await cli.ok("exec", "-d", name, "sh", "-c", "echo done >/tmp/done");
        await until(
          "it has run",
          async () => (await cli.try(["exec", name, "cat", "/tmp/done"])).stdout === "done\n",
        );
      }),
  },
  {
    name: "exec -it: a terminal",
    run: (cli) =>
      cli.beside([], SLEEPER, async (name) => {
        const script = "test -t 0 && test -t 2 && tty; exit 6";
        const ended = await cli.onTerminal(["exec", "-it", name, "sh", "-c", script]);
        assertEquals(ended.code, 6);
        assertMatch(ended.stdout, /\/dev\/pts\/\d+\n/);
      }),
  },
  {
    name: "exec: of 8 at once each gets its own output",
    run: (cli) =>
      cli.beside([], SLEEPER, async (name) => {
        const all = await Promise.all(
          Array.from({ length: 8 }, (_, i) => cli.try(["exec", name, "echo", `${i}`])),
        );
        assertEquals(all.map(({ stdout }) => stdout), all.map((_, i) => `${i}\n`));
      }),
  },
  {
    name: "pause and unpause",
    run: (cli) =>
      cli.beside([], SLEEPER, async (name) => {
        await cli.ok("pause", name);
        assertEquals(await cli.inspect(name, "{{.State.Status}}"), "paused");
        assert((await cli.try(["exec", name, "true"])).code !== 0, "exec in a paused container");
        await cli.ok("unpause", name);
        assertEquals(await cli.inspect(name, "{{.State.Status}}"), "running");
        await cli.ok("exec", name, "true");
      }),
  },
  {
    name: "top",
    run: (cli) =>
      cli.beside([], ["sh", "-c", "sleep 1000 & wait"], async (name) => {
        await until("top shows the child", async () =>
          (await cli.ok("top", name)).includes("sleep 1000"));
      }),
  },
  {
    name: "stats",
    run: (cli) =>
      cli.beside([], SLEEPER, async (name) => {
        const format = cli.client === "docker"
          ? "{{.PIDs}} {{.MemUsage}}"
          : "{{.PIDS}} {{.MemUsage}}";
        const stats = await cli.ok("stats", "--no-stream", "--format", format, name);
        assertMatch(stats, /^[1-9]\d* [\d.]+[kKM]i?B \/ /);
      }),
  },
  {
    name: "stop: SIGTERM, and the exit code",
    run: (cli) =>
      cli.beside(
        [],
        ["sh", "-c", "trap 'exit 3' TERM; echo ready; while :; do sleep 0.05; done"],
        async (name) => {
          await cli.waitForLog(name, "ready");
          await cli.ok("stop", name);
          assertEquals(
            await cli.inspect(name, "{{.State.Status}} {{.State.ExitCode}}"),
            "exited 3",
          );
        },
      ),
  },
  {
    name: "stop: SIGKILL after the time",
    run: (cli) =>
      cli.beside(
        [],
        ["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done"],
        async (name) => {
          await cli.waitForLog(name, "ready");
          await cli.ok("stop", "--time", "1", name);
          assertEquals(await cli.inspect(name, "{{.State.ExitCode}}"), "137");
        },
      ),
  },
  {
    name: "kill: a signal, then the end",
    run: (cli) =>
      cli.beside([], [
        "sh",
        "-c",
        "trap 'echo usr1' USR1; echo ready; while :; do sleep 0.05; done",
      ], async (name) => {
        await cli.waitForLog(name, "ready");
        await cli.ok("kill", "--signal", "USR1", name);
        await cli.waitForLog(name, "usr1");
        await cli.ok("kill", name);
        await cli.ok("wait", name);
        assertEquals(await cli.inspect(name, "{{.State.ExitCode}}"), "137");
      }),
  },
  {
    name: "rm -f: of a running and of a paused container",
    async run(cli) {
      for (const paused of [false, true]) {
        await cli.beside([], SLEEPER, async (name) => {
          if (paused) await cli.ok("pause", name);
          await cli.ok("rm", "-f", name);
          assert((await cli.try(["inspect", name])).code !== 0, "it is still there");
        });
      }
    },
  },
  {
    name: "create, start, start again, attach",
    async run(cli) {
      const name = cli.name();
      await cli.ok(
        "create",
        "--name",
        name,
        ...cli.flags([]),
        "bb:local",
        "sh",
        "-c",
        "echo hi; exit 4",
      );
      try {
        for (let round = 0; round < 2; round++) {
          const { code, stdout } = await cli.try(["start", "--attach", name]);
          assertEquals({ code, stdout }, { code: 4, stdout: "hi\n" });
        }
      } finally {
        await cli.ok("rm", "-f", name);
      }
    },
  },
  {
    name: "restart, and cp into it and out of it",
    run: (cli) =>
      cli.beside([], SLEEPER, async (name) => {
        await cli.waitForLog(name, "ready");
        const file = Deno.makeTempFileSync({ dir: cli.stage.dir });
        Deno.writeTextFileSync(file, "copied\n");
        await cli.ok("cp", file, `${name}:/var/copy`);
        await cli.ok("restart", name);
        assertEquals(await cli.ok("exec", name, "cat", "/var/copy"), "copied");
        await cli.ok("cp", `${name}:/var/full/file`, file);
        assertEquals(Deno.readTextFileSync(file), "from the image\n");
      }),
  },
  {
    name: "a restart policy",
    run: (cli) =>
      cli.beside(
        ["--restart", "on-failure:2"],
        ["sh", "-c", "echo again; exit 1"],
        async (name) => {
          await until("it has been restarted twice", async () =>
            await cli.inspect(name, "{{.RestartCount}} {{.State.Status}}") === "2 exited");
          assertEquals((await cli.ok("logs", name)).split("\n"), ["again", "again", "again"]);
        },
      ),
  },
  {
    name: "--init: somebody reaps, and passes signals on",
    run: (cli) =>
      cli.beside(["--init"], [
        "sh",
        "-c",
        "trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done",
      ], async (name) => {
        await cli.waitForLog(name, "ready");
        assertMatch(await cli.ok("exec", name, "cat", "/proc/1/comm"), /init|catatonit/);
        await cli.ok("stop", name);
        assertEquals(await cli.inspect(name, "{{.State.ExitCode}}"), "9");
      }),
  },
  {
    name: "logs of what a container printed on both outputs",
    run: (cli) =>
      cli.beside([], ["sh", "-c", "echo out; echo err >&2"], async (name) => {
        await cli.ok("wait", name);
        const { stdout, stderr } = await cli.try(["logs", name]);
        assertStringIncludes(stdout, "out");
        assertStringIncludes(stderr, "err");
      }),
  },
];
