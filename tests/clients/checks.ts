// The same list of checks for two runtimes: stock runc first, then the executable under test. What runc passes here,
// belay has to pass; what runc itself fails on this machine is a SKIP with runc's reason.
import { belayPath } from "../e2e/belay.ts";

/** One thing that a client's users do, and what they see. `S` drives the client with one of the runtimes. */
export interface Check<S> {
  readonly name: string;
  /** @throws when it is not as it should be */
  readonly run: (session: S) => Promise<void>;
}

/** A runtime as a client is told of it. */
export interface Contestant {
  /** `runc`, `belay`; containers and images are named after it. */
  readonly name: string;
  /** The executable. */
  readonly path: string;
}

/** The yardstick. */
export const RUNC: Contestant = { name: "runc", path: "/usr/sbin/runc" };

/** The executable under test: dist/belay, or BELAY_BIN. */
export const BELAY: Contestant = { name: "belay", path: belayPath };

/** Only the checks with this in their names. */
const ONLY = new RegExp(Deno.env.get("BELAY_CLIENTS_ONLY") ?? "");

/** Whether everything is done as often as the issue asks (BELAY_CLIENTS=all), or as often as CI has time for. */
export const ALL = Deno.env.get("BELAY_CLIENTS") === "all";

/** As Promise.all, but what has begun has ended, also when something failed: the next check begins alone. */
export async function all<T>(work: readonly Promise<T>[]): Promise<T[]> {
  await Promise.allSettled(work);
  return await Promise.all(work);
}

/** Runs a list with both; every check is a step. @param session Makes what drives the client with a runtime. */
export async function compare<S>(
  t: Deno.TestContext,
  client: string,
  checks: readonly Check<S>[],
  session: (runtime: Contestant) => S,
): Promise<void> {
  const selected = checks.filter(({ name }) => ONLY.test(name));
  const passed = { runc: 0, belay: 0 };
  for (const { name, run } of selected) {
    const reason = await failureOf(() => run(session(RUNC)));
    if (reason === undefined) passed.runc++;
    else console.log(`SKIP ${client}: ${name}: runc fails it here: ${reason}`);
    const ok = await t.step({
      name,
      ignore: reason !== undefined,
      fn: () => run(session(BELAY)),
      // The client's daemon lives around all steps.
      ...{ sanitizeOps: false, sanitizeResources: false, sanitizeExit: true },
    });
    if (ok && reason === undefined) passed.belay++;
  }
  if (passed.runc < 0.7 * selected.length) {
    throw new Error(
      `${client}: runc passes ${passed.runc} of ${selected.length}: nothing is compared`,
    );
  }
  console.log(
    `${client}: runc passed ${passed.runc} of ${selected.length}, belay ${passed.belay} of those`,
  );
}

async function failureOf(work: () => Promise<void>): Promise<string | undefined> {
  try {
    await work();
    return undefined;
  } catch (error) {
    return (error instanceof Error ? error.message : String(error)).replace(/\s+/g, " ").slice(
      0,
      300,
    );
  }
}
