import { assertEquals, assertMatch } from "@std/assert";
import { belay, isLauncher, run } from "./belay.ts";

Deno.test("belay --version prints what dockerd and podman look for", async () => {
  const { code, stdout, stderr } = await belay(["--version"]);
  assertEquals([code, stderr], [0, ""]);
  const [first = "", ...rest] = stdout.trimEnd().split("\n");
  assertMatch(first, /^belay version \d+\.\d+\.\d+$/);
  const fields = new Map(rest.map((line) => {
    const [name = "", ...value] = line.split(": ");
    return [name, value.join(": ")];
  }));
  assertEquals([...fields.keys()], ["commit", "spec", "deno", "v8", "build"]);
  assertMatch(fields.get("spec") ?? "", /^\d+\.\d+\.\d+$/);
  assertMatch(fields.get("deno") ?? "", /^2\.\d+\.\d+$/);
  assertMatch(fields.get("build") ?? "", isLauncher ? /^launcher \(\/.*\)$/ : /^compiled$/);
});

Deno.test("belay --version tells the commit that was built", async () => {
  const { stdout } = await belay(["-v"]);
  const commit = /^commit: (.*)$/m.exec(stdout)?.[1] ?? "";
  const git = await run(["git", "cat-file", "-t", commit.replace(/-dirty$/, "")]).catch(() =>
    undefined
  );
  if (git === undefined || /not built in a git checkout/.test(commit)) {
    assertMatch(commit, /^unknown, not built in a git checkout$/);
  } else {
    assertEquals(git.stdout, "commit\n");
  }
});
