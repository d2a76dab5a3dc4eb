// SCMP_ACT_NOTIFY: the listener goes to somebody who answers for the kernel.
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { contained, errorIn } from "./contained.ts";
import { notX86, NR, rawSyscall } from "./raw_syscall.ts";
import { Agent } from "./seccomp_listener.ts";
import { noLibseccomp, only } from "./seccomp_world.ts";

const obstacles = [noLibseccomp(), notX86()];

contained(
  "SCMP_ACT_NOTIFY: whoever listens at listenerPath gets the listener and the state, and answers",
  async (bundle) => {
    using agent = new Agent(bundle.world);
    bundle.config.annotations = { "org.example": "value" };
    bundle.config.linux.seccomp = {
      ...only("SCMP_ACT_NOTIFY", ["getpid"]),
      listenerPath: agent.path,
      listenerMetadata: "rules=none",
    };
    const program = rawSyscall(NR.getpid, [11, 22]);
    Deno.writeFileSync(`${bundle.rootfs}/probe`, program, { mode: 0o755 });
    const running = bundle.spawn(["/probe"]);
    const { listener, state } = await agent.take();
    using _listener = listener;
    const { pid } = state;
    const { ociVersion } = state;
    assertEquals(state, {
      ociVersion,
      fds: ["seccompFd"],
      pid,
      metadata: "rules=none",
      state: {
        ociVersion,
        id: bundle.id,
        status: "created",
        pid,
        bundle: bundle.path,
        annotations: { "org.example": "value" },
      },
    });
    const asked = await listener.next();
    assertEquals([asked.nr, asked.pid, asked.args.slice(0, 2)], [NR.getpid, pid, [11n, 22n]]);
    listener.answer(asked, { error: 77 });
    assertEquals((await running.ended).code, 77);
    await listener.ended();
  },
  obstacles,
);

contained(
  "SCMP_ACT_NOTIFY: also of execve, and of calls that the kernel then makes",
  async (bundle) => {
    using agent = new Agent(bundle.world);
    bundle.config.linux.seccomp = {
      ...only("SCMP_ACT_NOTIFY", ["execve", "mkdir"]),
      listenerPath: agent.path,
      flags: ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", "SECCOMP_FILTER_FLAG_TSYNC"],
    };
    const running = bundle.spawn(
      "mkdir /tmp/made && echo made; mkdir /tmp/other || echo refused; ls /tmp",
    );
    const { listener, state } = await agent.take();
    using _listener = listener;
    assertEquals("metadata" in state, false);
    const seen: number[] = [];
    await listener.serve(({ nr }) => {
      seen.push(nr);
      const second = nr === NR.mkdir && seen.filter((each) => each === nr).length === 2;
      return second ? { error: 13 } : { goOn: true };
    });
    assertEquals(seen[0], NR.execve);
    assertEquals(seen.filter((nr) => nr === NR.mkdir).length, 2);
    const { code, stdout, stderr } = await running.ended;
    assertEquals([code, stdout], [0, "made\nrefused\nmade\n"], stderr);
    assertStringIncludes(stderr, "Permission denied");
  },
  obstacles,
);

contained("SCMP_ACT_NOTIFY: create needs no listener yet, start does", async (bundle) => {
  using agent = new Agent(bundle.world);
  bundle.config.linux.seccomp = {
    ...only("SCMP_ACT_NOTIFY", ["getpid"]),
    listenerPath: agent.path,
  };
  Deno.writeFileSync(`${bundle.rootfs}/probe`, rawSyscall(NR.getpid), { mode: 0o755 });
  bundle.write(["/probe"]);
  const { world, id } = bundle;
  await world.ok(["create", "--bundle", bundle.path, id]);
  assertEquals(agent.called(), false);
  const started = world.spawn(["start", id]);
  const { listener } = await agent.take();
  using _listener = listener;
  const asked = await listener.next();
  assertEquals((await started.ended).code, 0);
  assertEquals((await world.state(id)).status, "running");
  listener.answer(asked, { value: 5 });
  await listener.ended();
  await world.ok(["delete", "--force", id]);
}, obstacles);

contained(
  "SCMP_ACT_NOTIFY: nobody at listenerPath is an error that names it, and nothing stays",
  async (bundle) => {
    const path = `${bundle.world.dir}/nobody`;
    bundle.config.linux.seccomp = { ...only("SCMP_ACT_NOTIFY", ["getpid"]), listenerPath: path };
    assertStringIncludes(
      await bundle.refused(),
      `linux.seccomp.listenerPath: the listener cannot be sent to ${path}`,
    );
    bundle.write();
    const { world, id } = bundle;
    await world.ok(["create", "--bundle", bundle.path, id]);
    const { code, stderr } = await world.belay(["start", id]);
    assertEquals(code, 1);
    assertStringIncludes(errorIn(stderr), "linux.seccomp.listenerPath");
    await world.ok(["delete", "--force", id]);
  },
  obstacles,
);

contained(
  "SCMP_ACT_NOTIFY of sendmsg is refused: by it the listener leaves the container",
  async (bundle) => {
    bundle.config.linux.seccomp = {
      ...only("SCMP_ACT_NOTIFY", ["sendmsg"]),
      listenerPath: `${bundle.world.dir}/agent`,
    };
    assertStringIncludes(await bundle.refused(), "linux.seccomp: must allow sendmsg");
    bundle.config.linux.seccomp = { ...only("SCMP_ACT_NOTIFY", ["getpid"]) };
    assertStringIncludes(await bundle.refused(), "linux.seccomp.listenerPath: is required");
    bundle.config.linux.seccomp = { defaultAction: "SCMP_ACT_ALLOW", listenerMetadata: "x" };
    assertStringIncludes(await bundle.refused(), "linux.seccomp.listenerMetadata");
    // Without a use for it the path is not looked at (config-linux.md).
    bundle.config.linux.seccomp = { defaultAction: "SCMP_ACT_ALLOW", listenerPath: "/nowhere" };
    assert((await bundle.run("true")).code === 0);
  },
  obstacles,
);
