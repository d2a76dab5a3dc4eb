// belay plan: what create and start would do, and nothing is done.
import { assert, assertEquals, assertMatch } from "@std/assert";
import { noProgram } from "../skip.ts";
import { type AnySpec, belayPath, e2e } from "./world.ts";

/** A bundle that uses much of what belay can do. */
function manifold(spec: AnySpec): void {
  spec.process.terminal = true;
  spec.linux.namespaces.push({ type: "user" });
  spec.linux.uidMappings = [{ containerID: 0, hostID: 100_000, size: 65_536 }];
  spec.linux.gidMappings = [{ containerID: 0, hostID: 100_000, size: 65_536 }];
  spec.linux.resources = { pids: { limit: 10 } };
  spec.hooks = {
    createRuntime: [{ path: "/bin/true" }],
    createContainer: [{ path: "/bin/true" }],
    startContainer: [{ path: "/bin/true" }],
  };
}

for (const [what, config] of [["the default", undefined], ["a manifold", manifold]] as const) {
  e2e(`plan shows the calls for ${what} configuration, and makes nothing`, async (world) => {
    const bundle = await world.bundle({
      args: ["sh"],
      ...(config === undefined ? {} : { config }),
    });
    const { stdout, stderr } = await world.ok(["plan", "--bundle", bundle]);
    assertEquals(stderr, "");
    for (const call of ["clone3", "pivot_root", "accept4", "execve"]) {
      assertMatch(stdout, new RegExp(`\\b${call}\\(`));
    }
    assertMatch(stdout, /execve\("\/bin\/sh", \["sh"\], .*\n*$/);
    const { create, start } = JSON.parse(
      (await world.ok(["plan", "--json", "--bundle", bundle])).stdout,
    );
    assert(create !== undefined && start !== undefined);
  });
}

e2e("plan needs no privilege", async (world) => {
  const bundle = await world.bundle({ args: ["true"], config: manifold });
  // Root without any capability: it owns its files, and that is all.
  const powerless = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"];
  const probe = await world.start([...powerless, "unshare", "-m", "true"]).ended;
  assert(probe.code !== 0, "there is a privilege left");
  const run = world.start([...powerless, belayPath, "plan", "--bundle", bundle]);
  const { code, stdout, stderr } = await run.ended;
  assertEquals([code, stderr], [0, ""]);
  assertMatch(stdout, /execve\("\/bin\/true"/);
}, noProgram("setpriv", "util-linux"));
