// Runs a command through a carrier that sends this process a signal just before the command is executed.
import { Host } from "../../../ffi/host.ts";
import { runCommand } from "../../../runtime/process/run_command.ts";

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
Deno.exit(await runCommand(carriers, ["sleep", "1000"], () => {}));
