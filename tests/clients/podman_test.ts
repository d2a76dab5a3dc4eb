// podman, rootful, with belay beside runc.
import { assertEquals, assertMatch } from "@std/assert";
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
    name: "exec into a container with --user, --privileged and --preserve-fds",
    run: (cli) =>
      cli.beside([], SLEEPER, async (name) => {
        assertEquals(await cli.ok("exec", "--user", "1000:2000", name, "id", "-g"), "2000");
        const caps = await cli.ok("exec", name, "grep", "^CapEff", "/proc/self/status");
        assertMatch(caps, /\t0000000[0-9a-f]{9}$/);
      }),
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
