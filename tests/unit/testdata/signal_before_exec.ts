// Runs a program through a carrier that sends this process a signal just before the program is executed.
import { Host } from "../../../ffi/host.ts";
import { exitCodeOf, runInStub } from "../../../runtime/process/run_program.ts";

const host = new Host("/tmp");
const carriers = {
  thread: host.thread,
  wake: host.wake.bind(host),
  spawn(name: string) {
    const stub = host.spawn(name);
    return new Proxy(stub, {
      get(target, property) {
        if (property === "exec") Deno.kill(Deno.pid, Deno.args[0] as Deno.Signal);
        const value = Reflect.get(target, property);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
  },
};
Deno.exit(exitCodeOf(await runInStub(carriers, "test", () => {}, ["sleep", "1000"])));
