// buildah, with belay beside runc.
import { assertEquals, assertMatch } from "@std/assert";
import type { Ended } from "../e2e/belay.ts";
import { MARK } from "../e2e/census.ts";
import { noFile, noProgram, notRoot } from "../skip.ts";
import { clientTest } from "./client.ts";
import { ALL, all, type Check, compare, type Contestant, RUNC } from "./checks.ts";
import { makeRootfsTar } from "./image.ts";
import { Stage, type StageOptions } from "./stage.ts";

const SEQUENCE = ALL ? 200 : 10;
const AT_ONCE = 20;

let count = 0;

/** buildah, with one runtime. */
class Buildah {
  constructor(
    readonly stage: Stage,
    readonly runtime: Contestant,
    private readonly rootfs: string,
  ) {}

  /** A name for an image that nobody else has. */
  name(): string {
    return `${MARK}-${this.runtime.name}-${++count}`;
  }

  argv(...args: readonly string[]): string[] {
    const { dir } = this.stage;
    const globals = ["--root", `${dir}/storage`, "--runroot", "/run/buildah"];
    return ["buildah", ...globals, "--storage-driver", "overlay", ...args];
  }

  try(args: readonly string[], options: StageOptions = {}): Promise<Ended> {
    return this.stage.run(this.argv(...args), options);
  }

  async ok(...args: readonly string[]): Promise<string> {
    return (await this.stage.ok(this.argv(...args))).trim();
  }

  /** Runs `work` with a container from the rootfs. @param flags Of `from`. */
  async container(
    work: (id: string) => Promise<void>,
    flags: readonly string[] = [],
  ): Promise<void> {
    const id = await this.ok("from", ...flags, "scratch");
    try {
      await this.ok("add", "--quiet", id, this.rootfs, "/");
      await work(id);
    } finally {
      await this.ok("rm", id);
    }
  }

  /** The arguments of a `run`. */
  runArgs(flags: readonly string[], id: string, command: readonly string[]): string[] {
    const runtime = ["--runtime", this.runtime.path];
    const network = flags.includes("--network") ? [] : ["--network", "none"];
    return ["run", ...runtime, ...network, ...flags, id, "--", ...command];
  }
}

const checks: readonly Check<Buildah>[] = [
  {
    name: "run: output, exit code, user, environment, directory",
    run: (buildah) =>
      buildah.container(async (id) => {
        const flags = ["--user", "app", "--env", "A=b c", "--workingdir", "/var"];
        const script = "id -u; echo $A; pwd; echo err >&2; exit 7";
        const ended = await buildah.try(buildah.runArgs(flags, id, ["sh", "-c", script]));
        assertEquals({ code: ended.code, stdout: ended.stdout }, {
          code: 7,
          stdout: "1000\nb c\n/var\n",
        });
        assertMatch(ended.stderr, /^err\n/);
      }),
  },
  {
    name: "run: stdin, and a terminal",
    run: (buildah) =>
      buildah.container(async (id) => {
        const stdin = "line\n".repeat(20_000);
        const counted = await buildah.try(buildah.runArgs([], id, ["wc", "-l"]), { stdin });
        assertEquals(counted.stdout, "20000\n");
        const script = "test -t 0 && test -t 2 && tty";
        const { code, stdout } = await buildah.stage.onTerminal(
          buildah.argv(...buildah.runArgs(["--tty"], id, ["sh", "-c", script])),
        );
        assertEquals(code, 0);
        assertMatch(stdout, /\/dev\/pts\/0\s/);
      }),
  },
  {
    name: "run: a command that is not there",
    run: (buildah) =>
      buildah.container(async (id) => {
        const { code, stderr } = await buildah.try(buildah.runArgs([], id, ["nosuch"]));
        assertEquals(code === 0, false);
        assertMatch(stderr, /executable file .*not found in \$PATH/);
      }),
  },
  {
    name: "run: volumes, capabilities, seccomp, masked paths",
    run: (buildah) =>
      buildah.container(async (id) => {
        const dir = Deno.makeTempDirSync({ dir: buildah.stage.dir });
        Deno.writeTextFileSync(`${dir}/file`, "from the host\n");
        const flags = ["--volume", `${dir}:/v:ro`, "--cap-drop", "CAP_CHOWN"];
        const script = "cat /v/file; touch /v/x 2>/dev/null || chown app /tmp 2>/dev/null ||" +
          " grep ^Seccomp: /proc/self/status | tr -d '\\t'; cat /proc/kcore";
        const { stdout } = await buildah.try(buildah.runArgs(flags, id, ["sh", "-c", script]));
        assertEquals(stdout, "from the host\nSeccomp:2\n");
      }),
  },
  {
    name: "run: --mount of tmpfs and bind, --hostname, --cap-add",
    run: (buildah) =>
      buildah.container(async (id) => {
        const dir = Deno.makeTempDirSync({ dir: buildah.stage.dir });
        Deno.writeTextFileSync(`${dir}/file`, "from the host\n");
        const flags = ["--mount", "type=tmpfs,dst=/t,tmpfs-size=1m", "--hostname", "stage"];
        flags.push("--mount", `type=bind,src=${dir},dst=/v,ro`, "--cap-add", "CAP_SYS_TIME");
        const script = "df -k /t | tail -1 | tr -s ' ' | cut -d' ' -f2; cat /v/file; hostname;" +
          "touch /v/x 2>/dev/null || grep ^CapEff /proc/self/status | cut -f 2";
        const [size, file, name, caps] =
          (await buildah.ok(...buildah.runArgs(flags, id, ["sh", "-c", script]))).split("\n");
        assertEquals([size, file, name], ["1024", "from the host", "stage"]);
        assertEquals(BigInt(`0x${caps}`) >> 25n & 1n, 1n);
      }),
  },
  {
    name: "run: namespaces of the host, and by path",
    run: (buildah) =>
      buildah.container(async (id) => {
        const types = ["net", "ipc", "uts"];
        const script = types.map((type) => `readlink /proc/self/ns/${type}`).join("; ");
        const outside = (await buildah.stage.ok(["sh", "-c", script])).trim();
        const show = (flags: readonly string[]) =>
          buildah.ok(...buildah.runArgs(flags, id, ["sh", "-c", script]));
        assertEquals(await show(["--network", "host", "--ipc", "host", "--uts", "host"]), outside);
        const [net] = (await show(["--network", "ns:/proc/1/ns/net"])).split("\n");
        assertEquals(net, outside.split("\n")[0]);
        const first = await buildah.ok(
          ...buildah.runArgs(["--pid", "host"], id, ["cat", "/proc/1/cmdline"]),
        );
        assertMatch(first, /^tini/);
      }),
  },
  {
    name: "from: limits, --ulimit, --shm-size, a seccomp profile",
    async run(buildah) {
      const profile = `${buildah.stage.dir}/seccomp.json`;
      const rule = { names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO", errnoRet: 111 };
      Deno.writeTextFileSync(
        profile,
        JSON.stringify({ defaultAction: "SCMP_ACT_ALLOW", syscalls: [rule] }),
      );
      const flags = ["--memory", "64m", "--cpu-shares", "300", "--ulimit", "nofile=100:200"];
      flags.push("--shm-size", "3m", "--security-opt", `seccomp=${profile}`);
      flags.push("--cgroup-parent", `/${MARK}-buildah`);
      await buildah.container(async (id) => {
        const script = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes" +
          " /sys/fs/cgroup/cpu/cpu.shares; ulimit -Sn; ulimit -Hn;" +
          "df -k /dev/shm | tail -1 | tr -s ' ' | cut -d' ' -f2;" +
          "mkdir /tmp/x 2>&1";
        const { stdout } = await buildah.try(buildah.runArgs([], id, ["sh", "-c", script]));
        const lines = stdout.trim().split("\n");
        assertEquals(lines.slice(0, -1), [`${64 << 20}`, "300", "100", "200", "3072"]);
        assertMatch(lines.at(-1) ?? "", /Connection refused/);
      }, flags);
    },
  },
  {
    name: "from: a user namespace",
    run: (buildah) =>
      buildah.container(async (id) => {
        const show = ["cat", "/proc/self/uid_map"];
        assertMatch(await buildah.ok(...buildah.runArgs([], id, show)), /^0\s+200000\s+65536$/);
      }, ["--userns-uid-map", "0:200000:65536", "--userns-gid-map", "0:200000:65536"]),
  },
  {
    name: "run: an OOM kill is told as a kill",
    run: (buildah) =>
      buildah.container(async (id) => {
        const dd = ["dd", "if=/dev/zero", "of=/dev/null", "bs=200M", "count=1"];
        const { code, stderr } = await buildah.try(buildah.runArgs([], id, dd));
        assertEquals(code, 1);
        assertMatch(stderr, /container exited on killed/);
      }, ["--memory", "24m", "--memory-swap", "24m", "--cgroup-parent", `/${MARK}-buildah`]),
  },
  {
    name: "bud: a build without a network, and its limits",
    async run(buildah) {
      const dir = Deno.makeTempDirSync({ dir: buildah.stage.dir });
      const base = buildah.name();
      await buildah.container(async (id) => {
        await buildah.ok("commit", "--quiet", id, base);
      });
      Deno.writeTextFileSync(`${dir}/file`, "context\n");
      Deno.writeTextFileSync(
        `${dir}/Dockerfile`,
        `FROM localhost/${base}\nCOPY file /file\nRUN id -u >/made && cat /file >>/made\n` +
          "RUN cat /sys/fs/cgroup/memory/memory.limit_in_bytes >>/made\nUSER app\nRUN id -u >/tmp/made\n",
      );
      const tag = buildah.name();
      const flags = ["--runtime", buildah.runtime.path, "--network", "none", "--memory", "64m"];
      await buildah.ok("bud", ...flags, "--cgroup-parent", `/${MARK}-buildah`, "--tag", tag, dir);
      const made = await buildah.ok("from", "--pull-never", `localhost/${tag}`);
      const read = await buildah.ok(...buildah.runArgs([], made, ["cat", "/made", "/tmp/made"]));
      assertEquals(read, `0\ncontext\n${64 * 1024 * 1024}\n1000`);
      await buildah.ok("rm", made);
      Deno.writeTextFileSync(`${dir}/Dockerfile`, `FROM localhost/${base}\nRUN exit 3\n`);
      const failed = await buildah.try(["bud", ...flags, dir]);
      assertMatch(failed.stderr, /exit status 3/);
      await buildah.ok("rmi", `localhost/${tag}`, `localhost/${base}`);
    },
  },
  {
    name: `run: ${AT_ONCE} at once`,
    run: (buildah) =>
      buildah.container(async (id) => {
        const outputs = await all(Array.from({ length: AT_ONCE }, (_, i) =>
          buildah.ok(...buildah.runArgs([], id, ["echo", `${i}`]))));
        assertEquals(
          outputs,
          outputs.map((_, i) =>
            `${i}`
          ),
        );
      }),
  },
  {
    name: `run: ${SEQUENCE} in sequence, and nothing is left`,
    run: (buildah) =>
      buildah.container(async (id) => {
        const before = buildah.stage.census();
        for (let i = 0; i < SEQUENCE; i++) {
          const command = ["sh", "-c", `echo ${i}; exit ${i % 100}`];
          const { code, stdout } = await buildah.try(buildah.runArgs([], id, command));
          assertEquals({ code, stdout }, { code: i % 100, stdout: `${i}\n` });
        }
        await buildah.stage.assertUnchanged(before);
      }),
  },
];

const obstacles = [
  ...[notRoot(), noFile(RUNC.path), noProgram("tini"), noProgram("buildah")],
];

clientTest(obstacles, "buildah", async (t) => {
  await using stage = await Stage.open();
  const tar = await makeRootfsTar(stage.dir);
  const before = stage.census();
  await compare(t, "buildah", checks, (who) => new Buildah(stage, who, tar));
  await stage.assertUnchanged(before);
});
