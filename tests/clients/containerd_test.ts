// containerd and ctr, with belay beside runc.
import { assertEquals, assertMatch } from "@std/assert";
import { until } from "../e2e/census.ts";
import { clientTest } from "./client.ts";
import { ALL, all, type Check, compare } from "./checks.ts";
import { Containerd, containerdObstacles, type Ctr } from "./containerd.ts";
import { ctrConfinementChecks } from "./ctr_confinement_checks.ts";
import { NOT_EXECUTABLE } from "./image.ts";
import { SLEEPER } from "./life_checks.ts";
import { Stage } from "./stage.ts";

const SEQUENCE = ALL ? 200 : 10;
const AT_ONCE = 20;

const checks: readonly Check<Ctr>[] = [
  {
    name: "run: output, errors and exit code",
    async run(ctr) {
      const ended = await ctr.run([], ["sh", "-c", "echo out; echo err >&2; exit 7"]);
      assertEquals({ ...ended, stderr: "" }, { code: 7, stdout: "out\n", stderr: "" });
      assertMatch(ended.stderr, /^err\n/);
    },
  },
  {
    name: "run: a command that cannot be executed is said to be the reason",
    async run(ctr) {
      assertMatch(
        (await ctr.run([], ["nosuch"])).stderr,
        /exec: "nosuch": executable file not found in \$PATH/,
      );
      assertMatch((await ctr.run([], [NOT_EXECUTABLE])).stderr, /permission denied/);
    },
  },
  {
    name: "run -t: a terminal",
    async run(ctr) {
      const command = ["sh", "-c", "test -t 0 && test -t 2 && tty; exit 3"];
      const ended = await ctr.onTerminal(ctr.args(ctr.id(), ["--rm", "-t"], command));
      assertEquals(ended.code, 3);
      assertMatch(ended.stdout, /\/dev\/pts\/0\s/);
    },
  },
  {
    name: "run: environment, directory",
    async run(ctr) {
      const flags = ["--env", "A=b c", "--cwd", "/var/full"];
      assertEquals(await ctr.output(flags, ["sh", "-c", "echo $A; pwd"]), "b c\n/var/full");
    },
  },
  {
    name: "task exec: output, exit code, user, directory",
    run: (ctr) =>
      ctr.beside([], SLEEPER, async (id) => {
        const flags = ["--exec-id", "e1", "--user", "app", "--cwd", "/var"];
        const ended = await ctr.try(
          ["task", "exec", ...flags, id, "sh", "-c", "id -u; pwd; exit 5"],
        );
        assertEquals({ ...ended, stderr: "" }, { code: 5, stdout: "1000\n/var\n", stderr: "" });
        assertMatch(
          (await ctr.try(["task", "exec", "--exec-id", "e2", id, "nosuch"])).stderr,
          /executable file not found in \$PATH/,
        );
      }),
  },
  {
    name: "task exec -t: a terminal",
    run: (ctr) =>
      ctr.beside([], SLEEPER, async (id) => {
        const command = ["sh", "-c", "test -t 0 && test -t 2 && tty; exit 6"];
        const ended = await ctr.onTerminal([
          "task",
          "exec",
          "--exec-id",
          "e",
          "-t",
          id,
          ...command,
        ]);
        assertEquals(ended.code, 6);
        assertMatch(ended.stdout, /\/dev\/pts\/\d+\s/);
      }),
  },
  {
    name: "task pause and resume",
    run: (ctr) =>
      ctr.beside([], SLEEPER, async (id) => {
        await ctr.ok("task", "pause", id);
        assertEquals(await ctr.status(id), "PAUSED");
        await ctr.ok("task", "resume", id);
        assertEquals(await ctr.status(id), "RUNNING");
        await ctr.ok("task", "exec", "--exec-id", "e", id, "true");
      }),
  },
  {
    name: "task ps and metrics",
    run: (ctr) =>
      ctr.beside([], ["sh", "-c", "sleep 1000 & wait"], async (id) => {
        await until("ps shows both", async () =>
          (await ctr.ok("task", "ps", id)).split("\n").length === 3);
        const metrics = JSON.parse(await ctr.ok("task", "metrics", "--format", "json", id));
        assertEquals(metrics.pids.current, 2);
      }),
  },
  {
    name: "task kill: a signal, then all",
    async run(ctr) {
      const id = ctr.id();
      const script = "trap 'echo usr1' USR1; echo ready; while :; do sleep 0.05; done";
      const running = ctr.start(ctr.args(id, ["--rm"], ["sh", "-c", script]));
      await until("it runs", () => running.output().includes("ready"));
      await ctr.ok("task", "kill", "--signal", "SIGUSR1", id);
      await until("it got the signal", () => running.output().includes("usr1"));
      await ctr.ok("task", "kill", "--signal", "SIGKILL", "--all", id);
      assertEquals((await running.status).code, 137);
    },
  },
  {
    name: "task delete --force of a running and of a paused task",
    async run(ctr) {
      for (const paused of [false, true]) {
        await ctr.beside([], SLEEPER, async (id) => {
          if (paused) await ctr.ok("task", "pause", id);
          await ctr.try(["task", "delete", "--force", id]); // it ends with the task's exit code
          assertEquals(await ctr.status(id), undefined);
        });
      }
    },
  },
  {
    name: "stdin",
    async run(ctr) {
      // Not to its end: ctr does not tell of that, whatever the runtime.
      const ended = await ctr.run([], ["head", "-n", "1"], { stdin: "line\n" });
      assertEquals(ended.stdout, "line\n");
    },
  },
  {
    name: "task start of a container that has run before",
    run: (ctr) =>
      ctr.beside([], ["sh", "-c", "echo hi; exit 4"], async (id) => {
        for (let round = 0; round < 2; round++) {
          await until("it has ended", async () => await ctr.status(id) === "STOPPED");
          await ctr.try(["task", "delete", id]); // it ends with the task's exit code
          const { code, stdout } = await ctr.try(["task", "start", id]);
          assertEquals({ code, stdout }, { code: 4, stdout: "hi\n" });
          await ctr.ok("task", "start", "--detach", id);
        }
      }),
  },
  {
    name: "task kill: SIGTERM, and the exit code",
    async run(ctr) {
      const id = ctr.id();
      const script = "trap 'exit 3' TERM; echo ready; while :; do sleep 0.05; done";
      const running = ctr.start(ctr.args(id, ["--rm"], ["sh", "-c", script]));
      await until("it runs", () => running.output().includes("ready"));
      await ctr.ok("task", "kill", id);
      assertEquals((await running.status).code, 3);
    },
  },
  ...ctrConfinementChecks,
  {
    name: `${AT_ONCE} containers started at once, and removed at once`,
    async run(ctr) {
      const before = ctr.stage.census();
      await all(
        Array.from({ length: AT_ONCE }, () =>
          ctr.beside([], SLEEPER, async (id) => {
            assertEquals(await ctr.ok("task", "exec", "--exec-id", "e", id, "echo", id), id);
          })),
      );
      await ctr.stage.assertUnchanged(before);
    },
  },
  {
    name: `${SEQUENCE} containers in sequence, and nothing is left`,
    async run(ctr) {
      const before = ctr.stage.census();
      for (let i = 0; i < SEQUENCE; i++) {
        const { code, stdout } = await ctr.run([], ["sh", "-c", `echo ${i}; exit ${i % 100}`]);
        assertEquals({ code, stdout }, { code: i % 100, stdout: `${i}\n` });
      }
      await ctr.stage.assertUnchanged(before);
    },
  },
];

clientTest(containerdObstacles(), "containerd", async (t) => {
  await using stage = await Stage.open();
  await using daemon = await Containerd.start(stage);
  const before = stage.census();
  await compare(t, "containerd", checks, (who) => daemon.cli(who));
  await stage.assertUnchanged(before);
});
