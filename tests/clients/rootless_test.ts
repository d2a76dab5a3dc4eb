// podman of an ordinary user, with belay beside runc. podman makes a user namespace first, and calls the runtime as its
// root, who is root of nothing else: belay may make no cgroups, no devices, and nothing in /run.
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { reachable } from "../e2e/other_user.ts";
import { until } from "../e2e/census.ts";
import { noFile, noProgram, notRoot } from "../skip.ts";
import { clientTest } from "./client.ts";
import { BELAY, type Check, compare, type Contestant, RUNC } from "./checks.ts";
import { Cli } from "./cli.ts";
import { confinementChecks } from "./confinement_checks.ts";
import { makeRootfsTar } from "./image.ts";
import { lifeChecks, SLEEPER } from "./life_checks.ts";
import { atOnce } from "./many_checks.ts";
import { Stage } from "./stage.ts";

/** Nobody's ids, hopefully; on the stage they have a name. */
const USER_ID = 54323;
const NAME = "tester";
/** The first of the user's subordinate ids. */
const SUBORDINATE = 300000;
const RUNTIME_DIR = `/run/user/${USER_ID}`;

/** What this machine lets nobody raise, and podman raises by default. */
const CONF = `[containers]\ndefault_ulimits = ["nofile=20000:20000", "nproc=32768:32768"]\n` +
  `[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n`;

/** Of what root's podman is tested with, what asks something else of the runtime here. */
const SAME = new RegExp(
  "^(run: (output|a command|stdin|user)|exec: (output|a command|stdin)|stop: SIGTERM|kill:|create, start|" +
    "the default (seccomp|cap)|masked|--read-only|--device|--network)",
);

const own: readonly Check<Cli>[] = [
  {
    // Not by what podman shows: on a busy machine it loses the last words of a terminal, with every runtime.
    name: "terminals: of run -t, and of exec -it",
    run: (cli) =>
      cli.beside(
        ["-t"],
        ["sh", "-c", `test -t 0 && test -t 2 && tty; ${SLEEPER[2]}`],
        async (name) => {
          await cli.waitForLog(name, "/dev/pts/0");
          const script = "test -t 0 && test -t 2 && tty >/tmp/tty; exit 6";
          assertEquals((await cli.onTerminal(["exec", "-it", name, "sh", "-c", script])).code, 6);
          assertMatch(await cli.ok("exec", name, "cat", "/tmp/tty"), /^\/dev\/pts\/\d+$/);
        },
      ),
  },
  {
    name: "root is the user outside, everybody else one of the user's subordinate ids",
    run: (cli) =>
      cli.beside(["--user", "app"], SLEEPER, async (name) => {
        await cli.waitForLog(name, "ready");
        const ids = (pid: string) => cli.stage.ok(["stat", "-c", "%u:%g", `/proc/${pid}`]);
        const pid = await cli.inspect(name, "{{.State.Pid}}");
        assertEquals((await ids(pid)).trim(), `${SUBORDINATE + 999}:${SUBORDINATE + 999}`);
        await cli.beside([], SLEEPER, async (root) => {
          assertEquals(
            (await ids(await cli.inspect(root, "{{.State.Pid}}"))).trim(),
            `${USER_ID}:${USER_ID}`,
          );
        });
      }),
  },
  {
    name: "--userns keep-id, volumes: what is made is the user's own",
    async run(cli) {
      const dir = Deno.makeTempDirSync({ dir: `${cli.stage.dir}/home` });
      Deno.chownSync(dir, USER_ID, USER_ID);
      Deno.writeTextFileSync(`${dir}/file`, "from the host\n");
      const volume = cli.name();
      const flags = ["-v", `${dir}:/ro:ro`, "-v", `${dir}:/rw`, "-v", `${volume}:/var/full`];
      const script = "id -u; cat /ro/file /var/full/file; touch /ro/x 2>/dev/null || touch /rw/y";
      assertEquals(
        await cli.output(["--userns", "keep-id", ...flags], ["sh", "-c", script]),
        `${USER_ID}\nfrom the host\nfrom the image`,
      );
      const { uid, gid } = Deno.statSync(`${dir}/y`);
      assertEquals([uid, gid], [USER_ID, USER_ID]);
      await cli.ok("volume", "rm", volume);
    },
  },
  {
    name: "--uidmap, --gidmap: a user namespace below the one that podman has made",
    run: (cli) =>
      cli.beside(["--uidmap", "0:1:1000", "--gidmap", "0:1:1000"], SLEEPER, async (name) => {
        const script = "touch /tmp/x && stat -c %u:%g /tmp/x /bin/busybox; cat /proc/self/uid_map";
        assertMatch(
          await cli.ok("exec", name, "sh", "-c", script),
          /^0:0\n0:0\n\s*0\s+1\s+1000$/,
        );
        const pid = await cli.inspect(name, "{{.State.Pid}}");
        const status = await cli.stage.ok(["grep", "^Uid", `/proc/${pid}/status`]);
        assertMatch(status, new RegExp(`^Uid:\t${SUBORDINATE}\t`));
      }),
  },
  {
    name: "a network by slirp4netns, and a port of the host",
    run: (cli) =>
      cli.beside(
        ["--network", "slirp4netns", "--publish", "127.0.0.1:8080:80"],
        ["sh", "-c", `echo served >/tmp/index.html; httpd -p 80 -h /tmp; ${SLEEPER[2]}`],
        async (name) => {
          assertMatch(await cli.ok("exec", name, "ip", "-4", "addr", "show", "tap0"), /10\.0\.2\./);
          const get = ["busybox", "wget", "-qO-", "http://127.0.0.1:8080/"];
          await until("it serves", async () => (await cli.stage.run(get)).stdout === "served\n");
        },
      ),
  },
  {
    name:
      "limits and pause are refused or ignored where there are no cgroups, and the container goes on",
    async run(cli) {
      const { code, stderr } = await cli.run(["--memory", "64m", "--pids-limit", "9"], ["true"]);
      assertEquals(code, 0);
      assertStringIncludes(stderr, "Resource limits are not supported");
      await cli.beside([], SLEEPER, async (name) => {
        assertEquals((await cli.try(["pause", name])).code, 125);
        const updated = await cli.try(["update", "--memory", "64m", name]);
        assertEquals(updated.code, 125);
        assertMatch(updated.stderr, /container could not join or create cgroup|has no cgroups/);
        assertEquals(await cli.ok("exec", name, "echo", "hi"), "hi");
      });
    },
  },
  {
    name: "4 at once; and when they are removed nothing is left, in the user's namespaces neither",
    async run(cli) {
      // podman's own cleanup of containers before these may still be on its way; its keeper of namespaces stays.
      const alone = () => cli.stage.processes().every(({ name }) => name === "catatonit");
      await until("nobody else is there", alone);
      const before = [cli.stage.census(), await below(cli)];
      await atOnce(cli, 4);
      const same = async () =>
        JSON.stringify([cli.stage.census(), await below(cli)]) === JSON.stringify(before);
      await until("everything is as it was", same).catch(async () =>
        assertEquals([cli.stage.census(), await below(cli)], before)
      );
    },
  },
];

/** What a runtime may leave where the stage's census does not look: states, and mounts in podman's mount namespace. */
async function below(cli: Cli): Promise<string[]> {
  const script = `ls -d ${RUNTIME_DIR}/belay/* ${RUNTIME_DIR}/runc/* 2>/dev/null; ` +
    "cut -d' ' -f5 /proc/self/mountinfo | sort";
  return (await cli.ok("unshare", "sh", "-c", script)).split("\n");
}

function podman(stage: Stage, { name, path }: Contestant): Cli {
  const home = `${stage.dir}/home`;
  return new Cli({
    stage,
    client: "podman",
    runtime: name,
    words: [
      ...[
        "setpriv",
        `--reuid=${USER_ID}`,
        `--regid=${USER_ID}`,
        "--init-groups",
        "--inh-caps=-all",
      ],
      ...["env", "-C", home, `HOME=${home}`, `USER=${NAME}`, `XDG_RUNTIME_DIR=${RUNTIME_DIR}`],
      ...[`CONTAINERS_CONF=${home}/containers.conf`],
      ...["podman", "--storage-driver", "overlay", "--runtime", path],
    ],
    runFlags: [],
    network: ["--network", "none"],
  });
}

/** Gives the stage a user, who may open /dev/net/tun, as everywhere but here. */
async function settle(stage: Stage): Promise<void> {
  const append = (file: string, line: string) =>
    Deno.writeTextFileSync(stage.path(`/etc/${file}`), `${line}\n`, { append: true });
  append("passwd", `${NAME}:x:${USER_ID}:${USER_ID}::${stage.dir}/home:/bin/sh`);
  append("group", `${NAME}:x:${USER_ID}:`);
  for (const file of ["subuid", "subgid"]) append(file, `${NAME}:${SUBORDINATE}:65536`);
  Deno.mkdirSync(stage.path("/run/user"), { mode: 0o755 });
  for (const dir of [`${stage.dir}/home`, stage.path(RUNTIME_DIR)]) {
    Deno.mkdirSync(dir, { mode: 0o700 });
    Deno.chownSync(dir, USER_ID, USER_ID);
  }
  Deno.writeTextFileSync(`${stage.dir}/home/containers.conf`, CONF);
  const tun = "mount --make-rshared / && mknod -m 666 /run/tun c 10 200 && " +
    "mount --bind /run/tun /dev/net/tun";
  await stage.ok(["sh", "-c", tun]);
}

const obstacles = [
  ...[notRoot(), noFile(RUNC.path), noProgram("tini"), noProgram("podman"), noProgram("conmon")],
  ...[noProgram("newuidmap", "uidmap"), noProgram("slirp4netns"), noProgram("catatonit")],
  ...[noFile("/dev/net/tun"), noProgram("setpriv", "util-linux")],
];

clientTest(obstacles, "podman of an ordinary user", async (t) => {
  await using stage = await Stage.open();
  await settle(stage);
  const tar = await makeRootfsTar(stage.dir);
  await podman(stage, RUNC).ok("import", tar, "bb:local"); // podman's keeper of namespaces lives from now on
  const belay = { ...BELAY, path: reachable(stage.dir) };
  const before = stage.census();
  const checks = [
    ...[...lifeChecks, ...confinementChecks].filter(({ name }) => SAME.test(name)),
    ...own,
  ];
  await compare(
    t,
    "podman of an ordinary user",
    checks,
    (who) => podman(stage, who === RUNC ? RUNC : belay),
  );
  await stage.assertUnchanged(before);
});
