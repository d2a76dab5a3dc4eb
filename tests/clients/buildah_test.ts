// buildah, with belay beside runc.
import { assertEquals, assertMatch } from "@std/assert";
import type { Ended } from "../e2e/belay.ts";
import { MARK } from "../e2e/census.ts";
import { noFile, noProgram, notRoot } from "../skip.ts";
import { clientTest } from "./client.ts";
import { all, type Check, compare, type Contestant, RUNC } from "./checks.ts";
import { makeRootfsTar } from "./image.ts";
import { Stage, type StageOptions } from "./stage.ts";

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

  /** Runs `work` with a container from the rootfs. */
  async container(work: (id: string) => Promise<void>): Promise<void> {
    const id = await this.ok("from", "scratch");
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
    return ["run", ...runtime, "--network", "none", ...flags, id, "--", ...command];
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
    name: "run: 8 at once",
    run: (buildah) =>
      buildah.container(async (id) => {
        const outputs = await all(Array.from({ length: 8 }, (_, i) =>
          buildah.ok(...buildah.runArgs([], id, ["echo", `${i}`]))));
        assertEquals(
          outputs,
          outputs.map((_, i) =>
            `${i}`
          ),
        );
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
