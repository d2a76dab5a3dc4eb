// What dockerd alone does: its networks, its builders, its health checks.
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { until } from "../e2e/census.ts";
import type { Check } from "./checks.ts";
import { confinementChecks, OOM } from "./confinement_checks.ts";
import type { DockerCli } from "./dockerd.ts";
import { SLEEPER } from "./life_checks.ts";

const HTTPD = ["sh", "-c", "echo served >/tmp/index.html; exec httpd -f -p 80 -h /tmp"];
const ADDRESS = "{{.NetworkSettings.IPAddress}}";

/** The checks. */
export const dockerChecks: readonly Check<DockerCli>[] = [
  {
    name: "the bridge: addresses, and containers that reach each other",
    run: (cli) =>
      cli.beside([], HTTPD, async (name) => {
        const address = await cli.inspect(name, ADDRESS);
        assertMatch(address, /^172\./);
        const get =
          `for i in $(seq 50); do wget -qO- http://${address}/ && exit; sleep 0.1; done; exit 1`;
        const script = `ip -4 addr show eth0 | grep -c inet; ${get}`;
        assertEquals(await cli.output([], ["sh", "-c", script]), "1\nserved");
      }),
  },
  {
    name: "a published port",
    run: (cli) =>
      cli.beside(["--publish", "127.0.0.1:8080:80"], HTTPD, async () => {
        const get = ["busybox", "wget", "-qO-", "http://127.0.0.1:8080/"];
        await until("it serves", async () => (await cli.stage.run(get)).stdout === "served\n");
      }),
  },
  {
    name: "a network of one's own, with names",
    async run(cli) {
      const network = cli.name();
      await cli.ok("network", "create", network);
      try {
        await cli.beside(["--network", network, "--network-alias", "web"], HTTPD, async () => {
          const get =
            "for i in $(seq 50); do wget -qO- http://web/ && exit; sleep 0.1; done; exit 1";
          assertEquals(await cli.output(["--network", network], ["sh", "-c", get]), "served");
        });
      } finally {
        await cli.ok("network", "rm", network);
      }
    },
  },
  {
    name: "--network none",
    async run(cli) {
      assertEquals(await cli.output(["--network", "none"], ["ls", "/sys/class/net"]), "lo");
    },
  },
  {
    name: "a health check",
    run: (cli) =>
      cli.beside(
        ["--health-cmd", "test -e /tmp", "--health-interval", "200ms"],
        SLEEPER,
        async (name) => {
          await until(
            "it is healthy",
            async () => await cli.inspect(name, "{{.State.Health.Status}}") === "healthy",
          );
        },
      ),
  },
  {
    name: "events of a life",
    async run(cli) {
      const since = `${Date.now() / 1000}`;
      const name = cli.name();
      await cli.run(["--name", name], ["sh", "-c", "exit 4"]);
      const events = await until("it has been destroyed", async () => {
        const text = await cli.ok(
          ...["events", "--since", since, "--until", `${Date.now() / 1000}`],
          ...[
            "--filter",
            `container=${name}`,
            "--format",
            "{{.Action}} {{.Actor.Attributes.exitCode}}",
          ],
        );
        return text.includes("destroy") && text;
      });
      for (const each of ["create", "start", "die 4", "destroy"]) {
        assertStringIncludes(events, each);
      }
    },
  },
  {
    name: "build, with the classic builder, without a network",
    async run(cli) {
      const tag = cli.name();
      // It has no flag for the runtime: it takes the daemon's default, which is changed by its configuration.
      await cli.daemon.useByDefault(cli.runtime);
      await build(cli, tag, "0");
    },
  },
  {
    name: "build, with BuildKit, without a network",
    async run(cli) {
      cli.daemon.useInBuilds(cli.runtime);
      await build(cli, cli.name(), "1");
    },
  },
];

async function build(cli: DockerCli, tag: string, buildKit: string): Promise<void> {
  const dir = Deno.makeTempDirSync({ dir: cli.stage.dir });
  Deno.writeTextFileSync(`${dir}/file`, "context\n");
  Deno.writeTextFileSync(
    `${dir}/Dockerfile`,
    "FROM bb:local\nCOPY file /file\nRUN id -u >/made && cat /file >>/made\nUSER app\nRUN id -u >/tmp/made\n",
  );
  const { code, stderr, stdout } = await cli.stage.run(
    cli.argv("build", "--no-cache", "--network", "none", "--tag", tag, dir),
    { env: { DOCKER_BUILDKIT: buildKit } },
  );
  assertEquals({ code, said: code === 0 ? "" : stdout + stderr }, { code: 0, said: "" });
  const made = await cli.ok(
    ...["run", "--rm", ...cli.flags([]), tag, "cat", "/made", "/tmp/made"],
  );
  assertEquals(made, "0\ncontext\n1000");
  await cli.ok("rmi", tag);
  const broken = `${dir}/Broken`;
  Deno.writeTextFileSync(broken, "FROM bb:local\nRUN exit 3\n");
  const failed = await cli.stage.run(
    cli.argv("build", "--network", "none", "--file", broken, dir),
    { env: { DOCKER_BUILDKIT: buildKit } },
  );
  assertMatch(failed.stdout + failed.stderr, /returned a non-zero code: 3|exit code: 3/);
  await cli.try(["container", "prune", "--force"]);
}

/** With `--userns-remap`: root is somebody else. */
export const remapChecks: readonly Check<DockerCli>[] = [
  {
    name: "root is 200000 outside",
    run: (cli) =>
      cli.beside([], SLEEPER, async (name) => {
        assertMatch(
          await cli.ok("exec", name, "cat", "/proc/self/uid_map"),
          /^0\s+200000\s+65536$/,
        );
        const pid = await cli.inspect(name, "{{.State.Pid}}");
        assertMatch(
          await cli.stage.ok(["grep", "^Uid", `/proc/${pid}/status`]),
          /^Uid:\t200000\t200000/,
        );
      }),
  },
  {
    name: "files, users, a terminal, limits",
    async run(cli) {
      const flags = ["--user", "app", "--memory", "64m", "--tmpfs", "/t:mode=1777"];
      const script = "touch /tmp/x /t/x && stat -c %u:%g /tmp/x /bin/busybox; id -u";
      assertEquals(await cli.output(flags, ["sh", "-c", script]), "1000:1000\n0:0\n1000");
      const ended = await cli.onTerminal([
        ...["run", "--rm", "-it", ...cli.flags([]), "bb:local", "sh", "-c", "test -t 0; exit $?"],
      ]);
      assertEquals(ended.code, 0);
    },
  },
  {
    name: "exec, pause, kill",
    run: (cli) =>
      cli.beside([], SLEEPER, async (name) => {
        assertEquals(await cli.ok("exec", name, "sh", "-c", "touch /made; stat -c %u /made"), "0");
        await cli.ok("pause", name);
        await cli.ok("unpause", name);
        await cli.ok("kill", name);
        assertEquals(await cli.ok("wait", name), "137");
      }),
  },
  {
    name: "--userns host, --read-only, volumes, exec -it",
    async run(cli) {
      const map = ["cat", "/proc/self/uid_map"];
      assertMatch(await cli.output(["--userns", "host"], map), /^0\s+0\s/);
      const dir = Deno.makeTempDirSync({ dir: cli.stage.dir });
      Deno.chmodSync(dir, 0o777);
      await cli.beside(["--read-only", "-v", `${dir}:/v`], SLEEPER, async (name) => {
        const script = "touch /x 2>/dev/null && exit 9; touch /v/x; test -t 0";
        assertEquals((await cli.onTerminal(["exec", "-it", name, "sh", "-c", script])).code, 0);
      });
      assertEquals(Deno.statSync(`${dir}/x`).uid, 200000);
    },
  },
  {
    name: "an OOM kill is seen as one",
    run: (cli) =>
      cli.beside(["--memory", "24m", "--memory-swap", "24m"], OOM, async (name) => {
        await cli.ok("exec", name, "touch", "/oom");
        assertEquals(await cli.ok("wait", name), "137");
        assertEquals(await cli.inspect(name, "{{.State.OOMKilled}}"), "true");
      }),
  },
  ...dockerChecks.filter(({ name }) => /^the bridge|^--network none|classic builder/.test(name)),
  ...confinementChecks.filter(({ name }) => /^--pid container|^--network container/.test(name)),
];
