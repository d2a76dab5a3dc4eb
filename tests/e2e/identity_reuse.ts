// Run by identity_test.ts in a pid namespace of its own: a process is named on every rung, killed and reaped, and its
// number given to another one. Prints what a number, and what each rung, makes of that.
import { identify, reopen, type Rung } from "../../ffi/identity.ts";
import { host, thread } from "../ffi_world.ts";

const first = host.spawn("first");
const { pid } = first.pidfd;
const names = (["handle", "inode", "start time"] as const)
  .map((rung) => identify(thread, first.pidfd, rung))
  .filter((identity, i) => identity.rung === (["handle", "inode", "start time"] as Rung[])[i]);
first[Symbol.dispose]();
first.pidfd.reap();
await new Promise((resolve) => setTimeout(resolve, 50)); // the start time counts in ticks of 10 ms

let second;
for (let i = 0; i < 100; i++) {
  Deno.writeTextFileSync("/proc/sys/kernel/ns_last_pid", String(pid - 1));
  second = host.spawn("second");
  if (second.pidfd.pid === pid) break;
  second[Symbol.dispose](); // a thread of Deno's was faster
  second.pidfd.reap();
}
const alive = (number: number) => {
  try {
    Deno.statSync(`/proc/${number}`);
    return true;
  } catch {
    return false; // nobody has the number
  }
};
console.log(JSON.stringify({
  deceivedByNumber: second?.pidfd.pid === pid && alive(pid),
  found: Object.fromEntries(names.map((name) => [name.rung, reopen(thread, name) !== undefined])),
}));
