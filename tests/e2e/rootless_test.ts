// Containers of a user who is not root: a user namespace with that user's own id alone, and no cgroups.
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { noProgram, type Obstacle } from "../skip.ts";
import { GID, OtherUser, SETPRIV, UID } from "./other_user.ts";
import { errorIn } from "./contained.ts";
import { noLibseccomp, only } from "./seccomp_world.ts";
import { belayPath, e2e, until, type World } from "./world.ts";

/** Some machines let nobody but root make user namespaces. */
function noNamespaces(): Obstacle {
  const args = [`--reuid=${UID}`, `--regid=${GID}`, "--clear-groups", "unshare", "-Ur", "true"];
  try {
    const { success } = new Deno.Command("setpriv", { args, cwd: "/" }).outputSync();
    return success ? undefined : "other users than root may not make user namespaces here";
  } catch {
    return "setpriv is not installed (Debian package util-linux)";
  }
}

function rootless(
  name: string,
  work: (user: OtherUser, world: World) => Promise<void>,
  more?: Obstacle,
): void {
  const obstacles = [noProgram("setpriv", "util-linux"), noNamespaces(), more];
  e2e(name, (world) => work(new OtherUser(world), world), obstacles);
}

rootless("a plain user runs a container: root inside, the user outside", async (user, world) => {
  const script = "id -u; id -g; cat /proc/self/uid_map /proc/self/gid_map /proc/self/setgroups; " +
    "touch /made; echo x >/dev/null; ls /sys/fs/cgroup >/dev/null && grep -c . /proc/self/cgroup >/dev/null; exit 5";
  const bundle = await user.bundle(["sh", "-c", script], (spec) => spec.root.readonly = false);
  const { code, stdout, stderr } = await user.belay(["run", "--bundle", bundle, world.id()]);
  assertEquals([code, stderr], [5, ""]);
  assertEquals(stdout.split("\n").map((line) => line.trim().replace(/ +/g, " ")), [
    ...["0", "0", `0 ${UID} 1`, `0 ${GID} 1`, "deny", ""],
  ]);
  const { uid, gid } = Deno.statSync(`${bundle}/rootfs/made`);
  assertEquals([uid, gid], [UID, GID]);
  assertEquals([...Deno.readDirSync(user.root)], []);
  assertEquals(Deno.statSync(user.root).uid, UID);
});

rootless("a plain user takes a container through its life", async (user, world) => {
  const bundle = await user.bundle([
    "sh",
    "-c",
    "trap 'exit 0' TERM; while :; do sleep 0.01; done",
  ]);
  const id = world.id();
  const status = async () => JSON.parse(await user.ok(["state", id])).status;
  await user.ok(["create", "--bundle", bundle, "--pid-file", `${user.home}/pid`, id]);
  assertEquals(await status(), "created");
  const pid = Number(Deno.readTextFileSync(`${user.home}/pid`));
  assertEquals(Deno.statSync(`/proc/${pid}`).isDirectory, true);
  assertStringIncludes(await user.ok(["list"]), `#${UID}`);
  await user.ok(["start", id]);
  assertEquals(await status(), "running");
  assertEquals(await user.ok(["exec", id, "sh", "-c", "id -u; id -g"]), "0\n0\n");
  const updated = await user.belay(["update", "--memory", "64M", id]);
  assertEquals(updated.code, 1);
  assertStringIncludes(errorIn(updated.stderr), "memory.limit: the container has no cgroups");
  await user.ok(["kill", id, "KILL"]);
  await until("the container's end", async () => await status() === "stopped");
  await user.ok(["delete", id]);
  assertEquals(await user.ok(["list", "-q"]), "");
});

rootless(
  "a plain user's container has the user's number for an owner where the host has no passwd file",
  async (user, world) => {
    const bundle = await user.bundle(["true"]);
    const secret = `${world.dir}/secret`;
    Deno.writeTextFileSync(secret, `someone:x:${UID}:${GID}::/:\n`, { mode: 0o600 });
    const ways = {
      missing: "mount -t tmpfs none /etc",
      closed: `mount --bind ${secret} /etc/passwd`,
    };
    for (const [way, mount] of Object.entries(ways)) {
      const id = world.id();
      const { code, stderr } = await world.start(
        [
          ...["unshare", "--mount", "sh", "-c", `${mount} && exec "$@"`, "sh", ...SETPRIV],
          ...[user.executable, "create", "--bundle", bundle, id],
        ],
        { clearEnv: true, env: { PATH: "/usr/bin:/bin", XDG_RUNTIME_DIR: user.runtimeDir } },
      ).ended;
      assertEquals([code, stderr], [0, ""], way);
      assertEquals(JSON.parse(await user.ok(["state", id])).owner, `#${UID}`);
      await user.ok(["delete", "--force", id]);
    }
  },
);

rootless(
  "delete --force ends a plain user's container, created or running",
  async (user, world) => {
    const bundle = await user.bundle(["sleep", "1000"]);
    for (const started of [false, true]) {
      const id = world.id();
      await user.ok(["create", "--bundle", bundle, id]);
      if (started) await user.ok(["start", id]);
      await user.ok(["delete", "--force", id]);
    }
    assertEquals([...Deno.readDirSync(user.root)], []);
  },
);

rootless(
  "a plain user's container has a network and a cgroup namespace when asked",
  async (user, world) => {
    const bundle = await user.bundle(
      ["sh", "-c", "for n in net cgroup; do readlink /proc/self/ns/$n; done"],
      ({ linux }) => {
        linux.namespaces.push({ type: "network" }, { type: "cgroup" }, { type: "time" });
        linux.timeOffsets = { monotonic: { secs: 1000, nanosecs: 0 } };
      },
    );
    const { code, stdout, stderr } = await user.belay(["run", "--bundle", bundle, world.id()]);
    assertEquals([code, stderr], [0, ""]);
    const own = ["net", "cgroup"].map((name) => Deno.readLinkSync(`/proc/self/ns/${name}`));
    const inside = stdout.trim().split("\n");
    assertEquals(inside.length, 2);
    for (const [i, name] of inside.entries()) assert(name !== own[i], name);
  },
);

e2e(
  "exec of a user namespace's root joins what is the container's, and leaves what is the host's",
  async (world) => {
    const bundle = await world.bundle({
      args: ["sleep", "1000"],
      config(spec) {
        const isNot = (type: string) => (each: { type: string }) => each.type !== type;
        // The host's network, and no sysfs, which only its owner may mount.
        spec.linux.namespaces = spec.linux.namespaces.filter(isNot("network"));
        spec.mounts = spec.mounts.filter(isNot("sysfs")).filter(isNot("cgroup"));
        spec.mounts.find((each: { type: string }) => each.type === "devpts").options = [
          "newinstance",
        ];
        delete spec.linux.resources;
      },
    });
    const id = world.id();
    const { code, stdout, stderr } = await world.start([
      ...["unshare", "--user", "--map-root-user", "--mount", "sh", "-ec"],
      `belay() { "$BELAY" --root "$ROOT" "$@"; }
       belay run --detach --bundle "$1" "$2" </dev/null >/dev/null
       links() { for n in net uts pid mnt; do readlink /proc/self/ns/$n; done; }
       links; belay exec "$2" sh -c 'for n in net uts pid mnt; do readlink /proc/self/ns/$n; done'
       belay exec "$2" sh -c 'for n in net uts pid mnt; do readlink /proc/1/ns/$n; done'
       belay delete --force "$2"`,
      ...["sh", bundle, id],
    ], { env: { BELAY: belayPath, ROOT: world.root } }).ended;
    assertEquals([code, stderr], [0, ""]);
    const [net, uts, pid, mnt, ...others] = stdout.trim().split("\n");
    const [added, first] = [others.slice(0, 4), others.slice(4)];
    assertEquals(added, first, "as the container's first process");
    assertEquals(added[0], net, "the host's network");
    assertEquals([uts, pid, mnt].some((own) => added.includes(own ?? "")), false);
  },
  noProgram("unshare", "util-linux"),
);

rootless("what a plain user may not have is refused by name", async (user, world) => {
  const refused = async (change: Parameters<OtherUser["bundle"]>[1], ...globals: string[]) => {
    const bundle = await user.bundle(["true"], change);
    const ended = await user.belay([...globals, "run", "--bundle", bundle, world.id()]);
    assertEquals(ended.code, 1);
    return errorIn(ended.stderr);
  };
  const cases: readonly (readonly [Parameters<OtherUser["bundle"]>[1], string])[] = [
    [({ linux }) => linux.uidMappings[0].hostID = 100000, "the kernel refuses them"],
    [
      ({ linux }) => linux.uidMappings.push({ containerID: 1, hostID: 100000, size: 5 }),
      "linux.uidMappings, linux.gidMappings: the kernel refuses them",
    ],
    [({ linux }) => linux.cgroupsPath = `/${world.id()}`, "linux.cgroupsPath needs it"],
    [
      ({ linux }) => linux.resources = { pids: { limit: 9 } },
      "linux.resources.pids.limit needs it",
    ],
    [({ process }) => process.user.additionalGids = [0], "process.user.additionalGids: cannot be"],
    [
      ({ linux }) => {
        linux.namespaces = linux.namespaces.filter(({ type }: { type: string }) => type !== "user");
        linux.uidMappings = linux.gidMappings = [];
      },
      'linux.namespaces: needs one of type "user": belay is not root here',
    ],
  ];
  for (const [change, told] of cases) assertStringIncludes(await refused(change), told);
  assertStringIncludes(await refused(() => {}, "--rootless=false"), "cannot make cgroup");
  assertEquals([...Deno.readDirSync(user.root)], []);
});

rootless(
  "a plain user without a runtime directory is told of root's state root",
  async (user, world) => {
    const bundle = await user.bundle(["true"]);
    const options = { env: { XDG_RUNTIME_DIR: "" } };
    const { code, stderr } = await user.belay(["run", "--bundle", bundle, world.id()], options);
    assertEquals(code, 1);
    assertStringIncludes(errorIn(stderr), "set XDG_RUNTIME_DIR, or give --root");
  },
);

rootless(
  "the root of a user namespace has its state in XDG_RUNTIME_DIR, and enters a container that shares the namespaces of the machine",
  async (user, world) => {
    // As rootless podman calls: it has made the user namespace, so config.json names none, nor a cgroup namespace.
    const bundle = await user.bundle(["sleep", "1000"], ({ linux }) => {
      linux.namespaces = linux.namespaces.filter(({ type }: { type: string }) =>
        ["pid", "mount", "uts", "ipc"].includes(type)
      );
      linux.uidMappings = linux.gidMappings = [];
    });
    const script = `belay=$1 bundle=$2 id=$3
      "$belay" run --detach --bundle "$bundle" "$id" </dev/null >"$HOME/said" 2>&1
      echo $? $(cat "$HOME/said"); ls "$XDG_RUNTIME_DIR/belay"
      "$belay" exec "$id" sh -c "id -u; readlink /proc/self/ns/net"
      "$belay" delete --force "$id"; echo $?; ls "$XDG_RUNTIME_DIR/belay"
      USER=root "$belay" create --bundle "$bundle" "$id" 2>&1 | grep -c "the state root /run/belay is not this"`;
    const words = ["unshare", "--user", "--map-root-user", "sh", "-c", script, "sh"];
    const id = world.id();
    const ended = await user.start([...words, user.executable, bundle, id], {
      env: { USER: "somebody" },
    }).ended;
    const net = Deno.readLinkSync("/proc/self/ns/net");
    assertEquals([ended.stdout.split("\n"), ended.stderr], [
      ["0", id, "0", net, "0", "1", ""],
      "",
    ]);
  },
);

rootless("userns new works for a plain user's own ids", async (user) => {
  const maps = ["--uid-map", `0:${UID}:1`, "--gid-map", `5:${GID}:1`];
  const { code, stdout, stderr } = await user.belay(
    ["userns", "new", ...maps, "--", "sh", "-c", "id -u; id -g; cat /proc/self/setgroups"],
  );
  assertEquals([code, stdout, stderr], [0, "0\n5\ndeny\n", ""]);
  const more = await user.belay(["userns", "new", ...maps, "--uid-map", "1:0:1", "--", "true"]);
  assertStringIncludes(errorIn(more.stderr), "the kernel refuses the maps");
  const pin = await user.belay(["userns", "new", ...maps, "--name", `${user.home}/pin`]);
  assertStringIncludes(errorIn(pin.stderr), "it needs CAP_SYS_ADMIN where belay runs");
  assertEquals([...Deno.readDirSync(user.home)], []);
});

for (const noNewPrivileges of [true, false]) {
  rootless(
    `a plain user's container is filtered, noNewPrivileges ${noNewPrivileges}; so is what exec adds`,
    async (user, world) => {
      const bundle = await user.bundle(["sleep", "1000"], (spec) => {
        spec.process.noNewPrivileges = noNewPrivileges;
        spec.linux.seccomp = only("SCMP_ACT_ERRNO", ["mkdir"], { errnoRet: 2 });
      });
      const id = world.id();
      await user.ok(["run", "--detach", "--bundle", bundle, id]);
      const { pid } = JSON.parse(await user.ok(["state", id]));
      const seccomp = /^Seccomp:\t2$/m;
      assertMatch(Deno.readTextFileSync(`/proc/${pid}/status`), seccomp);
      const added = await user.ok(["exec", id, "sh", "-c", "mkdir /x 2>&1; cat /proc/self/status"]);
      assertStringIncludes(added, "No such file or directory");
      assertMatch(added, seccomp);
      await user.ok(["delete", "--force", id]);
    },
    noLibseccomp(),
  );
}
