// Tasks that containerd has and docker has forgotten. When the runtime is killed in `start` or `delete`, dockerd asks
// containerd once to take the task back, is refused, and tells nobody; a shim and what it holds stay, whatever the
// runtime is. `ctr task delete --force` is containerd's own way to end them.
import { assertEquals } from "@std/assert";
import { commandLine, type Process, sleep, until } from "../e2e/census.ts";
import type { Contestant } from "./checks.ts";
import type { DockerCli } from "./dockerd.ts";
import type { Stage } from "./stage.ts";

/** Where docker has every runtime keep its containers, whatever the runtime's name. */
export const ROOT = "/run/docker/runtime-runc/moby";

/** What a shim's command line has and no other's. */
export const SHIM = "containerd-shim-runc-v2 -namespace moby";

/** docker's containerd. */
const CTR = ["ctr", "--address", "/run/docker/containerd/containerd.sock", "--namespace", "moby"];

/** A task that is about to be deleted looks forgotten for a moment; one that is stays so. */
const SETTLE_MS = 1000;

/**
 * Does what a user can do after `docker rm --force`: `delete --force` for every container that the runtime has a state
 * of, by which all that is the runtime's has to be gone; and containerd's own command for what docker has forgotten, by
 * which all has.
 * @param before The census to come back to. @returns the tasks that docker had forgotten
 * @throws when something is left
 */
export async function cleanUp(
  cli: DockerCli,
  { path }: Contestant,
  before: ReturnType<Stage["census"]>,
): Promise<string[]> {
  const { stage } = cli;
  for (const { name: id } of [...Deno.readDirSync(stage.path(ROOT))]) {
    await stage.ok([path, "--root", ROOT, "delete", "--force", id]);
  }
  let forgotten: string[] = [];
  const clean = async () => {
    forgotten = await forgottenTasks(cli);
    if (JSON.stringify(censusWithout(stage, forgotten)) !== JSON.stringify(before)) return false;
    if (forgotten.length === 0) return true;
    await sleep(SETTLE_MS);
    return JSON.stringify(await forgottenTasks(cli)) === JSON.stringify(forgotten);
  };
  // What docker still works on is not left behind.
  await until("everything is as it was", clean).catch(() =>
    assertEquals(censusWithout(stage, forgotten), before, "something was left behind")
  );
  for (const id of forgotten) await stage.run([...CTR, "task", "delete", "--force", id]);
  await stage.assertUnchanged(before);
  return forgotten;
}

/** The ids of containers whose task containerd has, and which docker does not know. */
async function forgottenTasks(cli: DockerCli): Promise<string[]> {
  const tasks = await cli.stage.ok([...CTR, "task", "ls", "--quiet"]);
  const known = await cli.ok("ps", "--all", "--quiet", "--no-trunc");
  return tasks.split("\n").filter((id) => id !== "" && !known.includes(id));
}

/** A stage's census without the shims of some containers; a shim with a process below it counts. */
function censusWithout(stage: Stage, ids: readonly string[]): ReturnType<Stage["census"]> {
  const { processes = [], ...rest } = stage.census();
  const all = stage.processes();
  const isAShim = ({ pid }: Process) => {
    const line = commandLine(pid);
    return line.includes(SHIM) && ids.some((id) => line.includes(id)) &&
      all.every(({ parent }) => parent !== pid);
  };
  const shims = all.filter(isAShim).map(({ pid, name }) => `${pid} ${name}`);
  return { processes: processes.filter((each) => !shims.includes(each)), ...rest };
}
