// Hooks that fail, hang, print too much, or leave somebody behind (runtime.md, "Lifecycle", 1.3).
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { errorIn } from "./contained.ts";
import { bundleWith, KINDS, outOf, read, shell } from "./hooks.ts";
import { type AnySpec, e2e, until } from "./world.ts";

/** What a failing hook of a kind is like: exits, is not there, is killed, takes too long. */
const FAILURES: readonly (readonly [string, AnySpec, RegExp])[] = [
  ["exits with 3", shell("echo said >&2; exit 3"), /hook #0: exit status 3, .*said/],
  [
    "does not exist",
    { path: "/no/such/hook" },
    /hook #0: exec: "\/no\/such\/hook": no such file or directory$/,
  ],
  ["is killed", shell("kill -KILL $$"), /hook #0: signal: (SIGKILL|killed)/],
  [
    "is too slow",
    shell("exec sleep 1000", { timeout: 1 }),
    /hook #0: hook ran past specified timeout of 1\.0s/,
  ],
];

for (const kind of KINDS.slice(0, 5)) {
  e2e(
    `a failing ${kind} hook fails the command, ends the container, and poststop runs`,
    async (world) => {
      for (const [what, hook, message] of kind === "prestart" ? FAILURES : FAILURES.slice(0, 1)) {
        const late = shell(`touch ${outOf(world, kind)}/late`);
        const bundle = await bundleWith(
          world,
          {
            [kind]: [hook, late],
            poststop: [shell(`cat >>${world.dir}/poststop; echo >>${world.dir}/poststop`)],
          },
          ["sleep", "1000"],
        );
        const id = world.id();
        const run = await world.belay(["run", "--bundle", bundle, id]);
        assertEquals([run.code, run.stdout], [1, ""], what);
        assertStringIncludes(errorIn(run.stderr), `error running ${kind} hook #0`);
        assertMatch(errorIn(run.stderr), message, what);
        assertEquals((await world.belay(["state", id])).code, 1, "run has deleted it");
        assertEquals(JSON.parse(read(world, "poststop").trim()).status, "stopped");

        const created = await world.belay(["create", "--bundle", bundle, id]);
        const atStart = kind === "startContainer" || kind === "poststart";
        assertEquals(created.code, atStart ? 0 : 1, created.stderr);
        if (atStart) {
          const started = await world.belay(["start", id]);
          assertEquals(started.code, 1);
          assertMatch(errorIn(started.stderr), message);
          await until("it stops", async () => (await world.state(id)).status === "stopped");
          await world.ok(["delete", id]);
        } else assertEquals((await world.belay(["state", id])).code, 1);
        assertEquals(read(world, "poststop").trim().split("\n").length, 2);
        assert(
          ![...Deno.readDirSync(world.dir)].some(({ name }) => name === "late"),
          "the next one ran",
        );
        Deno.removeSync(`${world.dir}/poststop`);
      }
    },
  );
}

e2e("a hook that cannot be executed is told without its environment", async (world) => {
  for (const kind of KINDS.slice(0, 5)) {
    const bundle = await bundleWith(world, { [kind]: [{ path: "/no/such" }] }, ["true"], (spec) => {
      spec.process.env.unshift("SECRET=of the program");
    });
    const id = world.id();
    const env = { SECRET: "of the host" };
    const options = { env, clearEnv: true };
    const { code, stderr } = await world.belay(["--debug", "run", "--bundle", bundle, id], options);
    assertEquals(code, 1);
    assertStringIncludes(errorIn(stderr), `hook #0: exec: "/no/such": no such file or directory`);
    assert(!stderr.includes("SECRET"), stderr);
  }
});

e2e("a failing poststop hook is told, the next one runs, and delete succeeds", async (world) => {
  const hooks = { poststop: [shell("exit 4"), shell(`touch ${world.dir}/second`)] };
  const id = world.id();
  await world.ok(["create", "--bundle", await bundleWith(world, hooks), id]);
  const { code, stderr } = await world.belay(["delete", id]);
  assertEquals(code, 0);
  assertMatch(stderr, /level=warning msg=.*error running poststop hook #0: exit status 4/);
  assertEquals(read(world, "second"), "");
});

e2e(
  "a hook that does not read its input, and one that closes everything, are fine",
  async (world) => {
    const bundle = await bundleWith(
      world,
      { createRuntime: [shell("exec <&- >&- 2>&-; exit 0"), { path: "/bin/true" }] },
      ["true"],
      (spec) => spec.annotations = { big: "x".repeat(200_000) },
    );
    await world.ok(["run", "--bundle", bundle, world.id()]);
  },
);

e2e("a hook whose grandchild keeps its output open is not waited for", async (world) => {
  const leave =
    `sh -c 'while [ ! -e ${world.dir}/end ]; do sleep 0.05; done; touch ${world.dir}/ended' &`;
  const bundle = await bundleWith(world, { createRuntime: [shell(`${leave} exit 0`)] });
  await world.ok(["run", "--bundle", bundle, world.id()]);
  Deno.writeTextFileSync(`${world.dir}/end`, "");
  await until("the grandchild ends by itself", () => {
    return [...Deno.readDirSync(world.dir)].some(({ name }) => name === "ended");
  });
});

e2e("a hook may print more than anyone keeps", async (world) => {
  const bundle = await bundleWith(world, {
    createRuntime: [shell("head -c 10000000 /dev/zero | tr '\\0' x")],
    prestart: [shell("head -c 300000 /dev/zero | tr '\\0' x >&2; exit 1")],
  });
  const { code, stderr } = await world.belay(["run", "--bundle", bundle, world.id()]);
  assertEquals(code, 1);
  assert(stderr.length < 20_000, `${stderr.length} bytes of an error`);
});
