// What holds a container of docker's or podman's in: limits, rights, mounts, namespaces.
import { assert, assertEquals, assertMatch } from "@std/assert";
import { MARK } from "../e2e/census.ts";
import type { Check } from "./checks.ts";
import type { Cli } from "./cli.ts";
import { SLEEPER } from "./life_checks.ts";

const MEMORY = "/sys/fs/cgroup/memory/memory.limit_in_bytes";
const PIDS = "/sys/fs/cgroup/pids/pids.max";
const MB = 1024 * 1024;

/** Takes more memory than it may have, as the container's first process. */
const GREED = ["dd", "if=/dev/zero", "of=/dev/null", "bs=200M", "count=1"];

/**
 * The same in a child, when there is a file `/oom`. Clients learn of the kill by an event, for which shims listen when
 * `start` has returned: an earlier one they miss. And it races with the first process's own end, with every runtime:
 * here it comes a second before.
 */
export const OOM = [
  ...["sh", "-c"],
  `until test -e /oom; do sleep 0.05; done; ${GREED.join(" ")}; code=$?; sleep 1; exit $code`,
];

/** The checks. */
export const confinementChecks: readonly Check<Cli>[] = [
  {
    name: "limits of memory, processes and cpu",
    async run(cli) {
      const flags = [
        "--memory",
        "64m",
        "--pids-limit",
        "21",
        "--cpus",
        "0.5",
        "--cpu-shares",
        "300",
      ];
      const files = [
        MEMORY,
        PIDS,
        "/sys/fs/cgroup/cpu/cpu.cfs_quota_us",
        "/sys/fs/cgroup/cpu/cpu.shares",
      ];
      assertEquals(
        (await cli.output(flags, ["cat", ...files])).split("\n").map((line) => line.trim()),
        [`${64 * MB}`, "21", "50000", "300"],
      );
    },
  },
  {
    name: "a limit of processes stops a fork bomb",
    async run(cli) {
      const script = "i=0; while [ $i -lt 40 ]; do sleep 9 & i=$((i+1)); done";
      const { code, stderr } = await cli.run(["--pids-limit", "10"], ["sh", "-c", script]);
      assert(code !== 0, "40 processes were made");
      assertMatch(stderr, /can't fork/);
    },
  },
  {
    name: "a first process that takes more memory than it may is killed",
    async run(cli) {
      const { code } = await cli.run(["--memory", "24m", "--memory-swap", "24m"], GREED);
      assertEquals(code, 137);
    },
  },
  {
    name: "an OOM kill is seen as one",
    run: (cli) =>
      cli.beside(["--memory", "24m", "--memory-swap", "24m"], OOM, async (name) => {
        await cli.ok("exec", name, "touch", "/oom");
        assertEquals(await cli.ok("wait", name), "137");
        assertEquals(
          await cli.inspect(name, "{{.State.OOMKilled}} {{.State.ExitCode}}"),
          "true 137",
        );
      }),
  },
  {
    name: "update",
    run: (cli) =>
      cli.beside(["--memory", "64m"], SLEEPER, async (name) => {
        await cli.ok(
          "update",
          "--memory",
          "96m",
          "--memory-swap",
          "128m",
          "--cpu-shares",
          "400",
          name,
        );
        const files = [MEMORY, "/sys/fs/cgroup/cpu/cpu.shares"];
        assertEquals(await cli.ok("exec", name, "cat", ...files), `${96 * MB}\n400`);
      }),
  },
  {
    name: "the default seccomp profile, and none",
    async run(cli) {
      const show = ["sh", "-c", "grep ^Seccomp: /proc/self/status | tr -d '\\t'; unshare -n true"];
      const confined = await cli.run([], show);
      assertEquals(confined.stdout, "Seccomp:2\n");
      assert(confined.code !== 0, "unshare is allowed");
      const free = await cli.run(
        ["--security-opt", "seccomp=unconfined", "--cap-add", "SYS_ADMIN"],
        show,
      );
      assertEquals({ code: free.code, stdout: free.stdout }, { code: 0, stdout: "Seccomp:0\n" });
    },
  },
  {
    name: "a seccomp profile of one's own",
    async run(cli) {
      const profile = `${cli.stage.dir}/seccomp.json`;
      Deno.writeTextFileSync(
        profile,
        JSON.stringify({
          defaultAction: "SCMP_ACT_ALLOW",
          syscalls: [{ names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO", errnoRet: 111 }],
        }),
      );
      const { code, stderr } = await cli.run(
        ["--security-opt", `seccomp=${profile}`],
        ["mkdir", "/tmp/x"],
      );
      assertEquals(code, 1);
      assertMatch(stderr, /Connection refused/);
    },
  },
  {
    name: "the default capabilities, --cap-drop, --cap-add",
    async run(cli) {
      const caps = (flags: readonly string[]) =>
        cli.output(flags, ["grep", "-E", "^Cap(Prm|Eff|Bnd)", "/proc/self/status"]).then((text) =>
          text.split("\n").map((line) => line.split("\t")[1])
        );
      const [normal] = await caps([]);
      assertMatch(normal ?? "", /^0000000[0-9a-f]{9}$/);
      assertEquals(new Set(await caps(["--cap-drop", "ALL"])), new Set(["0000000000000000"]));
      assertEquals(
        new Set(await caps(["--cap-drop", "ALL", "--cap-add", "CHOWN"])),
        new Set(["0000000000000001"]),
      );
      assert((await cli.run(["--cap-drop", "CHOWN"], ["chown", "app", "/tmp"])).code !== 0);
    },
  },
  {
    name: "--security-opt no-new-privileges",
    async run(cli) {
      assertMatch(
        await cli.output(
          ["--security-opt", "no-new-privileges"],
          ["grep", "^NoNewPrivs", "/proc/self/status"],
        ),
        /\t1$/,
      );
    },
  },
  {
    name: "--privileged",
    async run(cli) {
      const script =
        "mount -t tmpfs none /tmp && touch /tmp/x && test -e /dev/tty1 -o -e /dev/fuse";
      assertEquals((await cli.run(["--privileged"], ["sh", "-c", script])).code, 0);
    },
  },
  {
    name: "masked and read-only paths of /proc and /sys",
    async run(cli) {
      const script =
        "cat /proc/kcore; echo 1 >/proc/sys/kernel/panic; mkdir /sys/x; ls /sys/firmware";
      const { stdout, stderr } = await cli.run([], ["sh", "-c", script]);
      assertEquals(stdout, "");
      assertEquals(stderr.match(/Read-only file system/g)?.length, 2, stderr);
    },
  },
  {
    name: "--read-only and --tmpfs",
    async run(cli) {
      const script = "touch /x 2>/dev/null && exit 9; touch /t/x && df -k /t | tail -1";
      assertMatch(
        await cli.output(["--read-only", "--tmpfs", "/t:size=1m,mode=1777"], ["sh", "-c", script]),
        /\b1024\b/,
      );
    },
  },
  {
    name: "volumes: read-only, writable, named",
    async run(cli) {
      const dir = Deno.makeTempDirSync({ dir: cli.stage.dir });
      Deno.writeTextFileSync(`${dir}/file`, "from the host\n");
      const volume = cli.name();
      const flags = ["-v", `${dir}:/ro:ro`, "-v", `${dir}:/rw`, "-v", `${volume}:/var/full`];
      const script =
        "cat /ro/file /var/full/file; touch /ro/x 2>/dev/null || touch /rw/y /var/full/z";
      assertEquals(await cli.output(flags, ["sh", "-c", script]), "from the host\nfrom the image");
      assertEquals([...Deno.readDirSync(dir)].map(({ name }) => name).sort(), ["file", "y"]);
      assertEquals(
        await cli.output(["-v", `${volume}:/v`], ["sh", "-c", "echo /v/*"]),
        "/v/file /v/z",
      );
      await cli.ok("volume", "rm", volume);
    },
  },
  {
    name: "mounts travel into a container where that is asked for",
    run: async (cli) => {
      const dir = Deno.makeTempDirSync({ dir: cli.stage.dir });
      const mount = ["mount", "-t", "tmpfs", MARK, `${dir}/below`];
      Deno.mkdirSync(`${dir}/below`);
      await cli.stage.ok(["mount", "--bind", dir, dir]);
      await cli.stage.ok(["mount", "--make-shared", dir]);
      try {
        await cli.beside(["-v", `${dir}:/v:rslave`], SLEEPER, async (name) => {
          await cli.waitForLog(name, "ready");
          await cli.stage.ok(mount);
          assertMatch(await cli.ok("exec", name, "cat", "/proc/mounts"), /^\S+ \/v\/below tmpfs/m);
        });
      } finally {
        await cli.stage.run(["umount", "--recursive", dir]);
      }
    },
  },
  {
    name: "--ulimit",
    async run(cli) {
      const flags = ["--ulimit", "nofile=100:200"];
      assertEquals(await cli.output(flags, ["sh", "-c", "ulimit -Sn; ulimit -Hn"]), "100\n200");
    },
  },
  {
    name: "--sysctl, --shm-size, --oom-score-adj",
    async run(cli) {
      const flags = ["--sysctl", "net.ipv4.ip_unprivileged_port_start=77", "--shm-size", "3m"];
      const script = "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/self/oom_score_adj;" +
        "df -k /dev/shm | tail -1 | tr -s ' ' | cut -d' ' -f2";
      assertEquals(
        await cli.output([...flags, "--oom-score-adj", "500"], ["sh", "-c", script]),
        "77\n500\n3072",
      );
    },
  },
  {
    name: "--device, and no other",
    async run(cli) {
      const flags = ["--device", "/dev/null:/dev/xnull:rw"];
      assertEquals((await cli.run(flags, ["sh", "-c", "echo x >/dev/xnull"])).code, 0);
      const script = "mknod /tmp/kmsg c 1 11 && cat /tmp/kmsg";
      const { code, stderr } = await cli.run(["--cap-add", "MKNOD"], ["sh", "-c", script]);
      assertEquals(code, 1);
      assertMatch(stderr, /Operation not permitted/);
    },
  },
  {
    name: "--pid host",
    async run(cli) {
      assertMatch(await cli.output(["--pid", "host"], ["cat", "/proc/1/cmdline"]), /^tini/);
    },
  },
  {
    name: "--pid container:",
    run: (cli) =>
      cli.beside([], ["sleep", "4321"], async (name) => {
        const flags = ["--pid", `container:${name}`];
        const words = (await cli.output(flags, ["cat", "/proc/1/cmdline"])).split("\0");
        assertEquals(words.slice(0, 2), ["sleep", "4321"]);
      }),
  },
  {
    name: "--network container:, --ipc container:",
    run: (cli) =>
      cli.beside(["--ipc", "shareable"], SLEEPER, async (name) => {
        const links = ["readlink", "/proc/self/ns/net", "/proc/self/ns/ipc"];
        const flags = ["--network", `container:${name}`, "--ipc", `container:${name}`];
        const script = links.slice(1).map((link) => `readlink ${link}`).join("; ");
        assertEquals(
          await cli.output(flags, ["sh", "-c", script]),
          await cli.ok("exec", name, "sh", "-c", script),
        );
      }),
  },
  {
    name: "--network host, --uts host",
    async run(cli) {
      const script = "readlink /proc/self/ns/net; readlink /proc/self/ns/uts";
      assertEquals(
        await cli.output(["--network", "host", "--uts", "host"], ["sh", "-c", script]),
        (await cli.stage.ok(["sh", "-c", script])).trim(),
      );
    },
  },
];
