/**
 * A second belay, for the fault sweep alone; the product holds none of this.
 *
 *     BELAY_FAULT='{"k":17,"do":"kill"}' faults.js --root R create ...   belay, killed at its 17th system call
 *     faults.js '{"scenario":"cgroup", ...}'                             walks points; see driver.ts
 *
 * @module
 */
import { observe } from "../../ffi/observer.ts";
import { main } from "../../main.ts";
import { Injector } from "./injector.ts";

const fault = Deno.env.get("BELAY_FAULT");
if (fault !== undefined) {
  Deno.env.delete("BELAY_FAULT");
  const { k, do: deed } = JSON.parse(fault);
  const injector = new Injector(k, deed);
  observe(injector);
  const code = await main(Deno.args);
  observe(undefined);
  if (k === 0) console.error(`${injector.made} calls`);
  if (injector.hit !== undefined) console.error(`injected at ${injector.hit.shown}`);
  Deno.exit(code);
}
const { walk } = await import("./driver.ts");
await walk(JSON.parse(Deno.args[0] ?? "{}"));
Deno.exit(0);
