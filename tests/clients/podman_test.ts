// podman, rootful, with belay beside runc.
import { assert, assertEquals, assertMatch } from "@std/assert";
import { MARK, until } from "../e2e/census.ts";
import { noFile, noProgram, notRoot } from "../skip.ts";
import { clientTest } from "./client.ts";
import { type Check, compare, type Contestant, RUNC } from "./checks.ts";
import { Cli } from "./cli.ts";
import { confinementChecks } from "./confinement_checks.ts";
import { makeRootfsTar } from "./image.ts";
import { lifeChecks, SLEEPER } from "./life_checks.ts";
import { manyChecks } from "./many_checks.ts";
import { Stage } from "./stage.ts";

/** What this machine lets nobody raise, and podman raises by default. */
const CONF = `[containers]\ndefault_ulimits = ["nofile=20000:20000", "nproc=32768:32768"]\n` +
  `[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n`;

const checks: readonly Check<Cli>[] = [
  ...lifeChecks,
  ...confinementChecks,
  {
    name: "the bridge: a container that another reaches",
    run: (cli) =>
      cli.beside(
        ["--network", "podman"],
        ["sh", "-c", "echo served >/tmp/index.html; exec httpd -f -p 80 -h /tmp"],
        async (name) => {
          const address = await cli.inspect(name, "{{.NetworkSettings.IPAddress}}");
          const get =
            `for i in $(seq 50); do wget -qO- http://${address}/ && exit; sleep 0.1; done; exit 1`;
          assertEquals(await cli.output(["--network", "podman"], ["sh", "-c", get]), "served");
        },
      ),
  },
  {
    name: "a pod's containers share what a pod shares",
    async run(cli) {
      const pod = cli.name();
      await cli.ok("pod", "create", "--name", pod, "--infra=false", "--share", "");
      try {
        await cli.beside(["--pod", pod], SLEEPER, async (name) => {
          assertMatch(await cli.ok("pod", "ps"), /Running/);
          assertEquals(await cli.ok("exec", name, "echo", "hi"), "hi");
        });
      } finally {
        await cli.ok("pod", "rm", "-f", pod);
      }
    },
  },
  {
    name: "exec --user, --privileged, --preserve-fds",
    run: (cli) =>
      cli.beside([], SLEEPER, async (name) => {
        assertEquals(await cli.ok("exec", "--user", "1000:2000", name, "id", "-g"), "2000");
        const show = [name, "grep", "^CapEff", "/proc/self/status"];
        assertMatch(await cli.ok("exec", ...show), /\t0000000[0-9a-f]{9}$/);
        const privileged = await cli.ok("exec", "--privileged", ...show);
        assert(BigInt(`0x${privileged.split("\t")[1]}`) >> 21n & 1n, "not CAP_SYS_ADMIN");
        const exec = cli.argv("exec", "--preserve-fds", "1", name, "sh", "-c", "cat <&3");
        const ended = await cli.stage.run(["sh", "-c", 'exec "$@" 3</etc/hostname', "sh", ...exec]);
        assertEquals(ended.stdout, await cli.stage.ok(["cat", "/etc/hostname"]));
      }),
  },
  {
    name: "a user namespace: --uidmap, --gidmap",
    run: (cli) =>
      cli.beside(
        ["--uidmap", "0:200000:65536", "--gidmap", "0:200000:65536", "--tmpfs", "/t"],
        SLEEPER,
        async (name) => {
          const map = await cli.ok("exec", name, "cat", "/proc/self/uid_map");
          assertMatch(map, /^0\s+200000\s+65536$/);
          const script = "touch /t/x /tmp/x && stat -c %u:%g /t/x /tmp/x /bin/busybox";
          assertEquals(await cli.ok("exec", name, "sh", "-c", script), "0:0\n0:0\n0:0");
          const pid = await cli.inspect(name, "{{.State.Pid}}");
          const status = await cli.stage.ok(["grep", "^Uid", `/proc/${pid}/status`]);
          assertMatch(status, /^Uid:\t200000\t200000/);
        },
      ),
  },
  {
    name: "a published port",
    run: (cli) =>
      cli.beside(
        ["--network", "podman", "--publish", "127.0.0.1:8080:80"],
        ["sh", "-c", "echo served >/tmp/index.html; exec httpd -f -p 80 -h /tmp"],
        async () => {
          const get = ["busybox", "wget", "-qO-", "http://127.0.0.1:8080/"];
          await until("it serves", async () => (await cli.stage.run(get)).stdout === "served\n");
        },
      ),
  },
  {
    name: "build, without a network",
    async run(cli) {
      const dir = Deno.makeTempDirSync({ dir: cli.stage.dir });
      Deno.writeTextFileSync(`${dir}/file`, "context\n");
      Deno.writeTextFileSync(
        `${dir}/Dockerfile`,
        "FROM localhost/bb:local\nCOPY file /file\nRUN id -u >/made && cat /file >>/made\n" +
          "USER app\nRUN id -u >/tmp/made\n",
      );
      const tag = cli.name();
      await cli.ok("build", "--no-cache", "--network", "none", "--tag", tag, dir);
      const command = ["cat", "/made", "/tmp/made"];
      const made = await cli.ok("run", "--rm", ...cli.flags([]), `localhost/${tag}`, ...command);
      assertEquals(made, "0\ncontext\n1000");
      await cli.ok("rmi", `localhost/${tag}`);
    },
  },
  {
    name: "a health check",
    run: (cli) =>
      cli.beside(
        ["--health-cmd", "test -e /tmp", "--health-interval", "disable"],
        SLEEPER,
        async (name) => {
          await cli.ok("healthcheck", "run", name);
          assertEquals(await cli.inspect(name, "{{.State.Health.Status}}"), "healthy");
        },
      ),
  },
  {
    name: "a container that is not removed is started again",
    run: (cli) =>
      cli.beside([], ["sh", "-c", "echo x >>/tmp/x; wc -l </tmp/x"], async (name) => {
        await cli.ok("wait", name);
        await cli.ok("start", name);
        await until("it has run twice", async () =>
          (await cli.ok("logs", name)).split("\n").join(" ") === "1 2");
      }),
  },
  ...manyChecks,
];

function podman(stage: Stage, { name, path }: Contestant): Cli {
  const dir = `${stage.dir}/podman`;
  return new Cli({
    stage,
    client: "podman",
    runtime: name,
    words: [
      ...[
        "podman",
        "--root",
        `${dir}/storage`,
        "--runroot",
        "/run/podman",
        "--tmpdir",
        "/run/podman-tmp",
      ],
      ...["--storage-driver", "overlay", "--runtime", path],
    ],
    runFlags: ["--cgroup-parent", `/${MARK}-podman`],
    env: { CONTAINERS_CONF: `${dir}.conf` },
    network: ["--network", "none"],
  });
}

const obstacles = [
  ...[notRoot(), noFile(RUNC.path), noProgram("tini"), noProgram("podman"), noProgram("conmon")],
  ...[noFile("/usr/lib/podman/netavark"), noProgram("catatonit")],
];

clientTest(obstacles, "podman", async (t) => {
  await using stage = await Stage.open();
  Deno.writeTextFileSync(`${stage.dir}/podman.conf`, CONF);
  const tar = await makeRootfsTar(stage.dir);
  await podman(stage, RUNC).ok("import", tar, "bb:local");
  const before = stage.census();
  await compare(t, "podman", checks, (who) => podman(stage, who));
  await stage.assertUnchanged(before);
});
