import { assert, assertEquals } from "@std/assert";
import type { CheckReport } from "../../runtime/check/report.ts";
import { belay } from "./belay.ts";
import { OtherUser } from "./other_user.ts";
import { e2e } from "./world.ts";

Deno.test("belay check prints a table and exits 0 when belay can run here", async () => {
  const { code, stdout, stderr } = await belay(["check"]);
  assertEquals([code, stderr], [0, ""]);
  assert(stdout.startsWith(`Linux ${Deno.osRelease()}, ${Deno.build.arch}`), stdout);
  assert(/^pidfd_open +5\.3 +yes /m.test(stdout), stdout);
  assert(/^stub image +(sealed memfd|file) /m.test(stdout), stdout);
  assert(/^belay can run here\./m.test(stdout), stdout);
});

Deno.test("belay check --json prints the documented object when a program asks", async () => {
  const { code, stdout } = await belay(["check", "--json"]);
  assertEquals(code, 0);
  const report: CheckReport = JSON.parse(stdout);
  assertEquals([report.ok, report.missing, report.arch], [true, [], Deno.build.arch]);
  assertEquals(report.kernel, Deno.osRelease());
  for (const feature of report.features) {
    assertEquals(Object.keys(feature).sort(), [
      ...["available", "detail", "name", "purpose", "required", "since"],
    ]);
  }
  for (const { inUse, rungs } of report.ladders) assert(rungs.includes(inUse), inUse);
});

e2e("check says what it could not see when it is not root", async (world) => {
  const stdout = await new OtherUser(world).ok(["check"]);
  assert(/^Linux .*, seen without root$/m.test(stdout), stdout);
  assert(/^tcx links +6\.6 +\? /m.test(stdout), stdout);
  assert(/^BPF iterators +5\.8 +(\?|no) /m.test(stdout), stdout);
});
