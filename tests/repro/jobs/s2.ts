// urunc #402: the VMM was dead already, so kill(2) failed with ESRCH, and with it the cleanup was left out.
import { SIGNAL } from "../../../ffi/abi/signals.ts";
import type { Remote } from "../../../ffi/remote.ts";
import { NetnsWorker } from "../../../runtime/netns/netns_worker.ts";
import type { FilterWiring } from "../../../runtime/netns/redirect_by_filters.ts";
import { handOver, takeBackWiring, wireTap } from "../../../runtime/netns/wire_tap.ts";
import type { Finding, Job, World } from "../job.ts";
import {
  crash,
  host,
  type Leftovers,
  leftovers,
  makeSandboxes,
  naiveVmm,
  removeSandboxes,
  type Sandbox,
  unwireNaively,
  wireNaively,
} from "../sandboxes.ts";

const CRASHES = 20;
/** Sandboxes whose namespace is gone before anybody cleans up. */
const VANISHED = 5;
const DYING_MS = 15_000;

const { thread } = host;

const sum = ({ taps, qdiscs, filters }: Leftovers) => taps + qdiscs + filters;

/** What the owner of a VMM does when it is asked to end it: kill, then clean up. */
async function naiveDelete(sandbox: Sandbox, pid: number, tap: string): Promise<void> {
  Deno.kill(pid, "SIGKILL"); // throws: there is no such process
  await unwireNaively(sandbox, tap);
}

/** The same in belay's way: dead is success, and the cleanup runs in any case. What was removed. */
async function belayDelete(
  { name }: Sandbox,
  vmm: Remote,
  journal: readonly FilterWiring[],
): Promise<string[]> {
  vmm.pidfd.signal(SIGNAL.SIGKILL);
  const done: string[] = [];
  for (const wiring of journal) done.push(...await takeBackWiring(thread, { name }, wiring));
  return done;
}

/** A VMM, wired, that has crashed by itself, and what was journalled for it. */
async function crashed(
  { name }: Sandbox,
  way: "links" | "filters" | undefined,
  byName = false,
): Promise<{ vmm: Remote; journal: FilterWiring[]; way: "links" | "filters" }> {
  const journal: FilterWiring[] = [];
  const vmm = host.spawn("vmm");
  await using worker = await NetnsWorker.enter(thread, { name });
  const record = (wiring: FilterWiring) => void journal.push(wiring);
  const wiring = wireTap(worker, {
    ...{ link: "eth0", name: "tap%d", record, byName },
    ...(way === undefined ? {} : { way }),
  });
  handOver(thread, vmm, wiring);
  crash(vmm);
  return { vmm, journal, way: wiring.way };
}

/** Twenty crashes in one namespace, each followed by a delete that finds its VMM dead. */
async function crashLoop({ say }: World): Promise<Finding[]> {
  const [naive, filters, byName, links] = await makeSandboxes("loop", 210, 4);
  if (naive === undefined || filters === undefined || byName === undefined || links === undefined) {
    throw new Error("four were made");
  }
  const stopped = { naive: 0, belay: 0 };
  for (let round = 0; round < CRASHES; round++) {
    await wireNaively(naive, `tap${round}`);
    const vmm = naiveVmm(naive, `tap${round}`);
    const { pid } = vmm.pidfd;
    crash(vmm);
    vmm.pidfd[Symbol.dispose]();
    try {
      await naiveDelete(naive, pid, `tap${round}`);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error; // ESRCH, which is what is counted
      stopped.naive++;
    }
  }
  say(`the naive delete stopped at ESRCH ${stopped.naive} times of ${CRASHES}`);
  const left = { filters: 0, byName: 0, links: 0 };
  let secondTimes = 0;
  let idle = 0;
  let ways = "";
  for (let round = 0; round < CRASHES; round++) {
    for (const key of ["filters", "byName"] as const) {
      const sandbox = key === "filters" ? filters : byName;
      const { vmm, journal } = await crashed(sandbox, "filters", key === "byName");
      try {
        const done = await belayDelete(sandbox, vmm, journal);
        if (done.length === 0) idle++;
      } catch (error) {
        say(`belay's delete stopped: ${error}`);
        stopped.belay++;
      }
      left[key] += sum(await leftovers([sandbox], DYING_MS));
      secondTimes += (await belayDelete(sandbox, vmm, journal)).length;
      vmm.pidfd[Symbol.dispose]();
    }
    const { vmm, journal, way } = await crashed(links, undefined);
    ways = way;
    // Held by descriptors there is nothing to clean up: it is counted before anybody tries.
    if (way === "filters") await belayDelete(links, vmm, journal);
    left.links += sum(await leftovers([links], DYING_MS));
    secondTimes += (await belayDelete(links, vmm, journal)).length;
    vmm.pidfd[Symbol.dispose]();
  }
  if (idle > 0) {
    throw new Error(`${idle} deletes of the fallback wiring said that nothing was there`);
  }
  const naiveLeft = sum(await leftovers([naive]));
  say(`the wiring by descriptors is here by ${ways}`);
  await removeSandboxes([naive, filters, byName, links]);
  const rounds = CRASHES; // belay's deletes that could stop are twice as many
  return [
    { what: "deletes that stop because the VMM is dead", rounds, ...stopped },
    {
      what: "left by a crash loop: wired by filters",
      rounds,
      naive: naiveLeft,
      belay: left.filters,
    },
    {
      what: "the same with TAPs that are opened by name",
      rounds,
      naive: naiveLeft,
      belay: left.byName,
    },
    { what: "the same with all held by descriptors", rounds, naive: naiveLeft, belay: left.links },
    { what: "second deletes that found anything", rounds: 3 * CRASHES, belay: secondTimes },
  ];
}

/** The namespace went before its VMM's owner came to clean up. */
async function vanishedNamespace(): Promise<Finding> {
  const all = await makeSandboxes("gone", 211, VANISHED);
  const failed = { naive: 0, belay: 0 };
  for (const sandbox of all) {
    const { vmm, journal } = await crashed(sandbox, "filters");
    await removeSandboxes([sandbox]);
    try {
      await unwireNaively(sandbox, "tap0");
    } catch {
      failed.naive++; // by `tc`, which says that it cannot open the namespace
    }
    try {
      if ((await belayDelete(sandbox, vmm, journal)).length > 0) failed.belay++;
    } catch {
      failed.belay++;
    }
    vmm.pidfd[Symbol.dispose]();
  }
  return { what: "cleanups that fail because the namespace is gone", rounds: VANISHED, ...failed };
}

/** S2. */
export const job: Job = {
  name: "s2",
  bug: "the VMM is dead already, and with it goes the cleanup (urunc #402)",
  run: async (world) => [...await crashLoop(world), await vanishedNamespace()],
};
