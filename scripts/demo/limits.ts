import { makeBundle } from "./bundle.ts";
import type { Stage } from "./stage.ts";

const MEBIBYTE = 0x100000;
const MEMORY_LIMIT = 32 * MEBIBYTE;
const PIDS_LIMIT = 8;

/** dd takes its block from memory and fills it: twice what it may have. */
const TAKE_MEMORY = `echo "taking ${2 * MEMORY_LIMIT / MEBIBYTE} MiB…"
dd if=/dev/zero of=/dev/null bs=${2 * MEMORY_LIMIT / MEBIBYTE}M count=1
echo "dd ended with $?"; dd if=/dev/zero of=/dev/null bs=8M count=1 2>/dev/null
echo "8 MiB: dd ended with $?"`;

/** As many as a limit of 8 allows, and then some. */
const FORK = `for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 1 & n=$i; done; wait`;

/** Limits that are not only written down: a container runs into each of them. */
export async function showLimits(stage: Stage, rootfs: string): Promise<void> {
  const { screen } = stage;
  screen.chapter("Limits in force");
  screen.say(
    `Memory: ${MEMORY_LIMIT / MEBIBYTE} MiB. The kernel ends whoever takes more, inside the ` +
      "container and nowhere else.",
  );
  const memory = await makeBundle(stage, "memory", rootfs, (config) => {
    config.process.args = ["sh", "-c", TAKE_MEMORY];
    config.linux.resources["memory"] = {
      limit: MEMORY_LIMIT,
      ...(hasSwap() ? { swap: MEMORY_LIMIT } : {}),
    };
  });
  const taken = await stage.show(memory, "run", "memory");
  stage.expect(
    /dd ended with 137/.test(taken.stdout) && /8 MiB: dd ended with 0/.test(taken.stdout),
    "137 is 128 + 9: the kernel killed it. What stays below the limit goes on.",
  );
  screen.line();
  screen.say(`Processes: ${PIDS_LIMIT}. A fork bomb is a damp squib.`);
  const pids = await makeBundle(stage, "pids", rootfs, (config) => {
    config.process.args = ["sh", "-c", FORK];
    config.linux.resources["pids"] = { limit: PIDS_LIMIT };
  });
  const forked = await stage.show(pids, "run", "pids");
  stage.expect(
    /can't fork/.test(forked.stderr),
    "The kernel refused the process that would have been one too many.",
  );
}

/** With swap, a limit on memory alone only moves what is beyond it to the disk. */
function hasSwap(): boolean {
  return Deno.readTextFileSync("/proc/swaps").trim().split("\n").length > 1;
}
