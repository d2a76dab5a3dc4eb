// Hooks of all six kinds, as they should be (OCI runtime spec, config.md "POSIX-platform Hooks").
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { namespacesOf } from "./census.ts";
import { bundleWith, type Kind, KINDS, outOf, read, shell } from "./hooks.ts";
import { type AnySpec, e2e, until, type World } from "./world.ts";

/** Every kind, each with two hooks that do something and with it append to the file "order". */
function inOrder(world: World): Record<Kind, readonly AnySpec[]> {
  const hooks = (kind: Kind) =>
    [1, 2].map((n) => shell(`echo ${kind} ${n} >>${outOf(world, kind)}/order`));
  return Object.fromEntries(KINDS.map((kind) => [kind, hooks(kind)])) as Record<Kind, AnySpec[]>;
}

e2e(
  "hooks run in the order of the lifecycle, and within a kind in config.json's",
  async (world) => {
    const bundle = await bundleWith(world, inOrder(world), ["sleep", "1000"]);
    const id = world.id();
    const seen = () => read(world, "order").trim().split("\n");
    const expected = (...kinds: Kind[]) => kinds.flatMap((kind) => [`${kind} 1`, `${kind} 2`]);
    await world.ok(["create", "--bundle", bundle, id]);
    const created = expected("prestart", "createRuntime", "createContainer");
    assertEquals(seen(), created);
    await world.ok(["start", id]);
    const started = [...created, ...expected("startContainer", "poststart")];
    assertEquals(seen(), started);
    await world.ok(["kill", id, "KILL"]);
    await until("it stops", async () => (await world.state(id)).status === "stopped");
    assertEquals(seen(), started);
    await world.ok(["delete", id]);
    assertEquals(seen(), [...started, ...expected("poststop")]);
  },
);

e2e("run runs all hooks, too", async (world) => {
  const bundle = await bundleWith(world, inOrder(world));
  await world.ok(["run", "--bundle", bundle, world.id()]);
  assertEquals(read(world, "order").split("\n").length, 13);
});

e2e("the program starts between the startContainer and the poststart hooks", async (world) => {
  const bundle = await bundleWith(
    world,
    {
      startContainer: [shell("sleep 0.2; echo startContainer >>/out/order")],
      // The program's own word may come late; that it has been executed is sure.
      poststart: [
        shell(
          `for i in $(seq 200); do grep -q program ${world.dir}/order && break; sleep 0.05; done;
        echo poststart >>${world.dir}/order`,
        ),
      ],
    },
    ["sh", "-c", "echo program >>/out/order; sleep 1000"],
  );
  const id = world.id();
  await world.ok(["run", "-d", "--bundle", bundle, id]);
  assertEquals(read(world, "order"), "startContainer\nprogram\npoststart\n");
  await world.ok(["delete", "--force", id]);
});

e2e("hooks read the container's state on their standard input", async (world) => {
  const hooks = Object.fromEntries(
    KINDS.map((kind) => [kind, [shell(`cat >${outOf(world, kind)}/${kind}.json`)]]),
  );
  const annotations = { "org.example.a": "1", "b": 'quote " and ü' };
  const bundle = await bundleWith(world, hooks, ["sleep", "1000"], (spec) => {
    spec.annotations = annotations;
  });
  const id = world.id();
  await world.ok(["create", "--bundle", bundle, id]);
  const { pid, ociVersion } = await world.state(id);
  await world.ok(["start", id]);
  await world.ok(["delete", "--force", id]);
  const common = { ociVersion, id, bundle, annotations };
  const expected: Record<Kind, unknown> = {
    prestart: { ...common, status: "creating", pid },
    createRuntime: { ...common, status: "creating", pid },
    createContainer: { ...common, status: "creating", pid: 1 },
    startContainer: { ...common, status: "created", pid: 1 },
    poststart: { ...common, status: "running", pid },
    poststop: { ...common, status: "stopped" },
  };
  for (const kind of KINDS) {
    assertEquals(JSON.parse(read(world, `${kind}.json`)), expected[kind], kind);
  }
});

e2e("a state of a megabyte reaches a hook whole", async (world) => {
  const annotations = { big: "x".repeat(1_000_000), more: "y".repeat(70_000) };
  const bundle = await bundleWith(
    world,
    {
      createRuntime: [shell(`cat >${world.dir}/1.json`)],
      startContainer: [shell(`cat >/out/2.json`)],
      poststop: [shell(`cat >${world.dir}/3.json`)],
    },
    ["true"],
    (spec) => spec.annotations = annotations,
  );
  await world.ok(["run", "--bundle", bundle, world.id()]);
  for (const n of [1, 2, 3]) {
    assertEquals(JSON.parse(read(world, `${n}.json`)).annotations, annotations);
  }
});

e2e(
  "hooks run in the runtime's namespaces or the container's, as the specification says",
  async (world) => {
    const list = (kind: Kind) => {
      const out = `${outOf(world, kind)}/${kind}`;
      return shell(
        `for n in ipc mnt net uts pid; do readlink /proc/self/ns/$n >>${out}; done; true`,
      );
    };
    const hooks = Object.fromEntries(KINDS.map((kind) => [kind, [list(kind)]]));
    // Before the pivot /proc is the host's, in which a process of the container cannot find itself.
    hooks["createContainer"] = [
      shell(`{ echo $$; busybox ip -o link | wc -l; } >${world.dir}/createContainer`),
    ];
    const bundle = await bundleWith(world, hooks, ["sleep", "1000"]);
    const id = world.id();
    await world.ok(["run", "-d", "--bundle", bundle, id]);
    const { pid } = await world.state(id);
    const inside = namespacesOf(pid);
    const host = namespacesOf("self");
    await world.ok(["delete", "--force", id]);
    for (const kind of KINDS.filter((each) => each !== "createContainer")) {
      const seen = read(world, kind).trim().split("\n");
      assertEquals(seen.length, 5, `${kind}: ${seen}`);
      const where = kind === "startContainer" ? inside : host;
      for (const each of seen) {
        assert(where.includes(each), `${kind}: ${each} is not one of ${where}`);
      }
    }
    // The second process of its pid namespace, with a loopback device and no other.
    assertEquals(read(world, "createContainer").trim().split("\n"), ["2", "1"]);
  },
);

e2e("createContainer hooks come before the pivot, startContainer hooks after it", async (world) => {
  const bundle = await bundleWith(world, {
    createContainer: [shell(`ls ${world.dir} >${world.dir}/before`)],
    startContainer: [shell("ls / >/out/after")],
  });
  await world.ok(["run", "--bundle", bundle, world.id()]);
  assertStringIncludes(read(world, "before"), "bundle-1");
  assertEquals(
    read(world, "after").trim().split("\n"),
    "bin dev etc out proc root sys tmp var".split(" "),
  );
});

e2e("createContainer hooks change the container's mounts, and nobody else's", async (world) => {
  const rootfs = `${world.dir}/bundle-1/rootfs`;
  const bundle = await bundleWith(
    world,
    {
      createContainer: [
        shell(`mount -t tmpfs hooked ${rootfs}/tmp && echo mine >${rootfs}/tmp/file`, {
          env: ["PATH=/usr/bin:/bin:/sbin"],
        }),
      ],
    },
    ["cat", "/tmp/file"],
  );
  const { stdout } = await world.ok(["run", "--bundle", bundle, world.id()]);
  assertEquals(stdout, "mine\n");
});

e2e("hooks get their arguments, the first of them as their name", async (world) => {
  const bundle = await bundleWith(world, {
    createRuntime: [
      {
        path: "/bin/busybox",
        args: ["sh", "-c", `echo "$0 $1 $2" >${world.dir}/args`, "zero", "one", "a b"],
      },
    ],
    poststop: [{
      path: "/bin/sh",
      args: ["named", "-c", `tr '\\0' ' ' </proc/$$/cmdline >${world.dir}/name`],
    }],
  });
  await world.ok(["run", "--bundle", bundle, world.id()]);
  assertEquals(read(world, "args"), "zero one a b\n");
  assertMatch(read(world, "name"), /^named -c /);
});

e2e("a hook without arguments gets its path as its name", async (world) => {
  const script = `${world.dir}/hook`;
  Deno.writeTextFileSync(script, `#!/bin/sh\necho "$# $0" >${world.dir}/seen\n`, { mode: 0o755 });
  await world.ok([
    "run",
    "--bundle",
    await bundleWith(world, { prestart: [{ path: script }] }),
    world.id(),
  ]);
  assertEquals(read(world, "seen"), `0 ${script}\n`);
});

e2e("hooks get the environment that config.json gives them, and nothing else", async (world) => {
  const hooks = Object.fromEntries(KINDS.map((kind) => [kind, [{
    path: "/bin/busybox",
    // What was given to it, and not what the shell made of that.
    args: [
      "sh",
      "-c",
      `exec </proc/self/environ; /bin/busybox tr '\\0' '\\n' >${outOf(world, kind)}/${kind}; true`,
    ],
    env: ["ONLY=another", "ONLY=this"],
  }]]));
  const id = world.id();
  const env = { SECRET: "of the host" };
  await world.ok(["run", "--bundle", await bundleWith(world, hooks), id], { env });
  for (const kind of KINDS) {
    assertEquals(read(world, kind), "ONLY=this\n", kind);
  }
});

e2e(
  "a hook without an environment has belay's, or in the container the program's",
  async (world) => {
    const hooks = Object.fromEntries(KINDS.map((kind) => [kind, [{
      path: "/bin/busybox",
      args: ["sh", "-c", `/bin/busybox env >${outOf(world, kind)}/${kind}`],
    }]]));
    const bundle = await bundleWith(
      world,
      hooks,
      ["/bin/true"],
      (spec) => spec.process.env = ["OF=the program"],
    );
    await world.ok(["run", "--bundle", bundle, world.id()], { env: { SECRET: "of the host" } });
    for (const kind of KINDS) {
      const seen = read(world, kind).split("\n");
      const inside = kind === "createContainer" || kind === "startContainer";
      assertEquals(seen.includes("OF=the program"), inside, kind);
      assertEquals(seen.includes("SECRET=of the host"), !inside, kind);
      assert(
        !seen.some((each) => /^(DENO_|BELAY_(LAUNCHER|HOME))/.test(each)),
        `${kind}: ${seen}`,
      );
    }
  },
);

e2e(
  "prestart hooks can open the container's network namespace, as dockerd's does",
  async (world) => {
    const script =
      `pid=$(sed 's/.*"pid":\\([0-9]*\\).*/\\1/'); readlink /proc/$pid/ns/net >${world.dir}/net;
    nsenter -t $pid -n ip link set lo up`;
    const bundle = await bundleWith(
      world,
      { prestart: [shell(script, { env: ["PATH=/usr/bin:/bin:/usr/sbin:/sbin"] })] },
      ["sh", "-c", "ip -o link show lo; readlink /proc/self/ns/net >/out/inside"],
    );
    const { stdout } = await world.ok(["run", "--bundle", bundle, world.id()]);
    assertStringIncludes(stdout, "LOWER_UP");
    assertEquals(read(world, "net"), read(world, "inside"));
  },
);

e2e(
  "a hook in the container is run as its user, with its mounts and limits of rights",
  async (world) => {
    const bundle = await bundleWith(
      world,
      { startContainer: [shell("{ id -u; id -g; grep CapEff /proc/self/status; } >/out/seen")] },
      ["sh", "-c", "{ id -u; id -g; grep CapEff /proc/self/status; } >/out/program"],
      (spec) => {
        spec.process.user = { uid: 1234, gid: 4321 };
      },
    );
    Deno.chmodSync(world.dir, 0o777);
    await world.ok(["run", "--bundle", bundle, world.id()]);
    assertEquals(read(world, "seen"), read(world, "program"));
    assertStringIncludes(read(world, "seen"), "1234\n4321\n");
  },
);

e2e(
  "createContainer hooks add mounts in a user namespace, where the way to the root is open",
  async (world) => {
    const bundle = await bundleWith(
      world,
      {
        createContainer: [
          shell(`mount -t tmpfs hooked ${world.dir}/bundle-1/rootfs/tmp; id -u; true`),
        ],
      },
      ["sh", "-c", "stat -f -c %T /tmp; cat /proc/self/uid_map"],
      (spec) => {
        spec.linux.namespaces.push({ type: "user" });
        spec.linux.uidMappings = [{ containerID: 0, hostID: 100_000, size: 65_536 }];
        spec.linux.gidMappings = [{ containerID: 0, hostID: 100_000, size: 65_536 }];
      },
    );
    Deno.mkdirSync(`${bundle}/rootfs/out`);
    const { stdout } = await world.ok(["run", "--bundle", bundle, world.id()]);
    assertMatch(stdout, /^tmpfs\n\s+0\s+100000\s+65536\n$/);
    // Where it is closed, there is a container all the same.
    Deno.chmodSync(world.dir, 0o700);
    assertEquals((await world.ok(["run", "--bundle", bundle, world.id()])).code, 0);
  },
);
