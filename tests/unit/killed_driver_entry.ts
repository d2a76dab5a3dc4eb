// Makes a stub a hook, or a program in belay's place, and is killed between its last request and the answer. The stub is
// stopped meanwhile. Says its number, and goes on when it hears a word.
//
// Usage: killed_driver_entry.ts hook|program PATH     what the stub is to become writes a file there
import type { Kernel } from "../../ffi/kernel.ts";
import { Host } from "../../ffi/host.ts";
import { Thread } from "../../ffi/thread.ts";
import { SIGNAL } from "../../ffi/abi/signals.ts";
import type { Remote } from "../../ffi/remote.ts";
import { inRuntime, runHooks } from "../../runtime/hooks/run_hooks.ts";
import { runProgram } from "../../runtime/process/run_program.ts";
import { changed } from "./changed_remote.ts";

const [kind, path = ""] = Deno.args;
const args = ["sh", "-c", `echo > '${path}'`];
const real = new Thread();
let last = false;
const thread: Kernel = {
  call(made) {
    if (last && made.name === "recvfrom") Deno.kill(Deno.pid, "SIGKILL");
    return real.call(made);
  },
  batch: (calls) => real.batch(calls),
};
const host = new Host("/tmp", thread);

/** A stub that is stopped before its last request. */
function stopping(stub: Remote): Remote {
  return changed(stub, {
    exec(calls, sent) {
      stub.pidfd.signal(SIGNAL.SIGSTOP);
      console.log(stub.pidfd.pid);
      Deno.stdin.readSync(new Uint8Array(1));
      last = true;
      stub.exec(calls, sent);
    },
  });
}

if (kind === "hook") {
  const place = { ...inRuntime(host), spawn: () => stopping(host.spawn("hook")) };
  const state = { ociVersion: "1.3.0", id: "c", status: "creating", bundle: "/" } as const;
  runHooks(thread, place, "prestart", [{ path: "/bin/sh", args, env: [] }], state);
} else await runProgram(thread, stopping(host.spawn("program")), args, []);
