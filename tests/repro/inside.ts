// Runs one job: the program that scripts/repro.ts starts in new namespaces. Its last word is a file for the result.
import { mustRun } from "../../scripts/step.ts";
import type { Job, Result, World } from "./job.ts";
import { judge } from "./job.ts";

const [module = "", out = "", scratch = "", belay = "", seed = ""] = Deno.args;
const { job }: { job: Job } = await import(module);

/** A place of this job's own where the machine has its published namespaces. */
async function hideNetns(): Promise<void> {
  await Deno.mkdir("/run/netns", { recursive: true });
  await mustRun(["mount", "-t", "tmpfs", "tmpfs", "/run/netns"]);
  await mustRun(["ip", "link", "set", "lo", "up"]);
}

async function run(world: World): Promise<Partial<Result>> {
  try {
    await hideNetns();
    const skipped = await job.obstacle?.(world);
    if (skipped !== undefined) return { skipped };
    const findings = await job.run(world);
    return { findings, failures: judge(findings) };
  } catch (error) {
    return { failures: [error instanceof Error ? error.stack ?? error.message : String(error)] };
  }
}

const start = performance.now();
const result: Result = {
  name: job.name,
  bug: job.bug,
  findings: [],
  failures: [],
  ...await run({
    belay: [belay],
    scratch,
    seed: Number(seed),
    say: (line) => console.log(`  ${line}`),
  }),
  seconds: (performance.now() - start) / 1000,
};
await Deno.writeTextFile(out, JSON.stringify(result));
Deno.exit(0);
