// features: the document that the built belay prints, and execution domains, which are one of them.
import { assertEquals, assertStringIncludes } from "@std/assert";
import { listFields } from "../../runtime/spec/list_fields.ts";
import { e2e } from "./world.ts";

e2e("features prints a document that agrees with the fields that are supported", async (world) => {
  const { stdout } = await world.ok(["features"], { clearEnv: true, root: null });
  const { ociVersionMin, linux, hooks } = JSON.parse(stdout);
  const works = (path: string) =>
    listFields().find((field) => field.path === path)?.status === "supported";
  assertEquals(ociVersionMin, "1.0.0");
  assertEquals(linux.apparmor.enabled, works("process.apparmorProfile"));
  assertEquals(linux.intelRdt.enabled, works("linux.intelRdt"));
  assertEquals([linux.cgroup.systemd, linux.cgroup.systemdUser], [true, false]);
  assertEquals(linux.cgroup.rdma, works("linux.resources.rdma.*"));
  assertEquals(hooks.includes("createContainer"), true);
});

e2e("linux.personality is the program's, and its children's", async (world) => {
  const bundle = await world.bundle({
    args: ["sh", "-c", "uname -m; sh -c 'uname -m'; cat /proc/self/personality"],
    config: (spec) => spec.linux.personality = { domain: "LINUX32" },
  });
  const { stdout } = await world.ok(["run", "--bundle", bundle, world.id()]);
  assertEquals(stdout, "i686\ni686\n00000008\n");
}, Deno.build.arch === "x86_64" ? [] : "not every aarch64 processor has 32-bit programs");

e2e("linux.personality is that of a program that is added, too", async (world) => {
  const id = world.id();
  const bundle = await world.bundle({
    args: ["sleep", "1000"],
    config: (spec) => spec.linux.personality = { domain: "LINUX32" },
  });
  await world.ok(["run", "--detach", "--bundle", bundle, id]);
  assertEquals((await world.ok(["exec", id, "uname", "-m"])).stdout, "i686\n");
  await world.ok(["delete", "--force", id]);
}, Deno.build.arch === "x86_64" ? [] : "not every aarch64 processor has 32-bit programs");

e2e("linux.personality refuses domains and flags that nobody has defined", async (world) => {
  for (
    const [personality, words] of [
      [{ domain: "BSD" }, "linux.personality.domain: must be one of LINUX, LINUX32"],
      [{ domain: "LINUX", flags: ["x"] }, "linux.personality.flags: must be empty"],
    ] as const
  ) {
    const bundle = await world.bundle({ config: (spec) => spec.linux.personality = personality });
    const { code, stderr } = await world.belay(["run", "--bundle", bundle, world.id()]);
    assertEquals(code, 1);
    assertStringIncludes(stderr, words);
  }
});
