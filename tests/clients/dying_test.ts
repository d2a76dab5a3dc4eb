// The runtime is killed by SIGKILL before and after each of its commands, runc and belay: what docker says then, and
// what it takes to be rid of everything.
import { assertEquals } from "@std/assert";
import { clientTest } from "./client.ts";
import { BELAY, type Contestant, RUNC } from "./checks.ts";
import { type DockerCli, Dockerd, dockerObstacles } from "./dockerd.ts";
import { CALLS, DyingRuntime, MOMENTS } from "./dying_runtime.ts";
import { cleanUp } from "./forgotten_tasks.ts";
import { Stage } from "./stage.ts";

/** What a user of docker sees, as exit codes, and how many tasks docker forgets. */
interface Outcome {
  readonly run: number;
  readonly exec: number;
  readonly rm: number;
  readonly forgottenTasks: number;
}

const name = "docker, when the runtime is killed around each of its commands";

clientTest(dockerObstacles(), name, async (t) => {
  await using stage = await Stage.open();
  const [runc, belay] = [RUNC, BELAY].map((real) => {
    return new DyingRuntime(real, Deno.makeTempDirSync({ dir: stage.dir }));
  });
  if (runc === undefined || belay === undefined) throw new Error("there are two");
  const contestants = [RUNC, BELAY, runc.contestant, belay.contestant];
  await using daemon = await Dockerd.start(stage, [], contestants);
  const before = stage.census();
  const live = async (runtime: DyingRuntime, real: Contestant) => {
    const cli = daemon.cli(runtime.contestant);
    const codes = await life(cli);
    assertEquals(runtime.disarm(), true, `${real.name} was not called so`);
    return { ...codes, forgottenTasks: (await cleanUp(cli, real, before)).length };
  };
  for (const call of CALLS) {
    for (const moment of MOMENTS) {
      await t.step({
        name: `killed ${moment} ${call}`,
        async fn() {
          runc.arm(call, moment);
          const expected = await live(runc, RUNC);
          console.log(JSON.stringify(expected));
          belay.arm(call, moment);
          assertEquals(await live(belay, BELAY), expected, "belay, and runc before it");
        },
        // The daemon lives around all steps.
        ...{ sanitizeOps: false, sanitizeResources: false },
      });
    }
  }
});

/** A container's life, in which each command of the runtime's is called at least once. */
async function life(cli: DockerCli): Promise<Omit<Outcome, "forgottenTasks">> {
  const name = cli.name();
  const flags = ["-d", "--name", name, ...cli.flags([])];
  const { code: run } = await cli.try(["run", ...flags, "bb:local", "sleep", "1000"]);
  const { code: exec } = await cli.try(["exec", name, "true"]);
  const rm = () => cli.try(["rm", "--force", name]);
  // After a kill(1) that failed docker waits for some seconds, and on a busy machine it says that this was too short.
  return { run, exec, rm: (await rm()).code && (await rm()).code };
}
