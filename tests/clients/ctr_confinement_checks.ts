// What holds a container of ctr's in: limits, rights, mounts, namespaces.
import { assert, assertEquals, assertMatch } from "@std/assert";
import { MARK, until } from "../e2e/census.ts";
import type { Check } from "./checks.ts";
import { OOM } from "./confinement_checks.ts";
import type { Ctr } from "./containerd.ts";
import { makeRootfsTar } from "./image.ts";
import { SLEEPER } from "./life_checks.ts";

/** The checks. */
export const ctrConfinementChecks: readonly Check<Ctr>[] = [
  {
    name: "a limit of memory, and an OOM kill that is told as an event",
    async run(ctr) {
      const events = ctr.start(["events"]);
      const id = ctr.id();
      const running = ctr.start(ctr.args(id, ["--rm", "--memory-limit", `${24 << 20}`], OOM));
      const isRunning = async () =>
        new RegExp(`^${id} .*RUNNING`, "m").test(await ctr.ok("task", "ls"));
      await until("it runs", isRunning);
      await ctr.ok("task", "exec", "--exec-id", "oom", id, "touch", "/oom");
      assertEquals((await running.status).code, 137);
      await until("the event", () => events.output().includes("/tasks/oom"));
      await events.end();
    },
  },
  {
    name: "limits of memory and cpu",
    async run(ctr) {
      const flags = ["--memory-limit", `${64 << 20}`, "--cpu-shares", "300"];
      flags.push("--cpu-quota", "50000", "--cpu-period", "200000");
      await ctr.beside(flags, SLEEPER, async (id) => {
        const files = [
          ...["memory/@/memory.limit_in_bytes", "cpu/@/cpu.shares"],
          ...["cpu/@/cpu.cfs_quota_us", "cpu/@/cpu.cfs_period_us"],
        ].map((file) => `/sys/fs/cgroup/${file.replace("@", `${MARK}/${id}`)}`);
        assertEquals(await ctr.stage.ok(["cat", ...files]), `${64 << 20}\n300\n50000\n200000\n`);
      });
    },
  },
  {
    name: "a config.json of one's own: processes, rlimits, tmpfs, sysctl, an OOM score",
    async run(ctr) {
      const spec = await specOf(ctr);
      spec.linux.resources.pids = { limit: 10 };
      spec.linux.sysctl = { "net.ipv4.ip_unprivileged_port_start": "77" };
      spec.process.rlimits = [{ type: "RLIMIT_NOFILE", soft: 100, hard: 200 }];
      spec.process.oomScoreAdj = 500;
      spec.mounts.push({
        destination: "/t",
        type: "tmpfs",
        source: "tmpfs",
        options: ["size=1m", "nosuid"],
      });
      const script = "ulimit -n; cat /proc/self/oom_score_adj /proc/sys/net/ipv4/ip_unp*start;" +
        "df -k /t | tail -1 | tr -s ' ' | cut -d' ' -f2;" +
        "i=0; while [ $i -lt 40 ]; do sleep 9 & i=$((i+1)); done";
      const { code, stdout, stderr } = await ctr.runSpec(spec, ["sh", "-c", script]);
      assertEquals(stdout, "100\n500\n77\n1024\n");
      assert(code !== 0, "40 processes were made");
      assertMatch(stderr, /can't fork/);
    },
  },
  {
    name: "the default seccomp profile",
    async run(ctr) {
      const show = ["sh", "-c", "grep ^Seccomp: /proc/self/status | tr -d '\\t'; unshare -n true"];
      const { code, stdout } = await ctr.run(["--seccomp"], show);
      assertEquals(stdout, "Seccomp:2\n");
      assert(code !== 0, "unshare is allowed");
    },
  },
  {
    name: "a seccomp profile of one's own",
    async run(ctr) {
      const profile = `${ctr.stage.dir}/seccomp.json`;
      const rule = { names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO", errnoRet: 111 };
      Deno.writeTextFileSync(
        profile,
        JSON.stringify({ defaultAction: "SCMP_ACT_ALLOW", syscalls: [rule] }),
      );
      const flags = ["--seccomp", "--seccomp-profile", profile];
      const { code, stderr } = await ctr.run(flags, ["mkdir", "/tmp/x"]);
      assertEquals(code, 1);
      assertMatch(stderr, /Connection refused/);
    },
  },
  {
    name: "--cap-drop, --cap-add",
    async run(ctr) {
      const show = ["sh", "-c", "grep ^CapEff /proc/self/status | cut -f 2; chown app /tmp"];
      const normal = await ctr.run([], show);
      assertEquals({ code: normal.code, caps: normal.stdout }, {
        code: 0,
        caps: "00000000a80425fb\n",
      });
      const less = await ctr.run(["--cap-drop", "CAP_CHOWN"], show);
      assertEquals({ code: less.code, caps: less.stdout }, { code: 1, caps: "00000000a80425fa\n" });
      const more = await ctr.run(["--cap-add", "CAP_SYS_TIME"], show);
      assertEquals(more.stdout, "00000000aa0425fb\n");
    },
  },
  {
    name: "--privileged, --allow-new-privs, --device",
    async run(ctr) {
      const script = "mount -t tmpfs none /tmp && touch /tmp/x && test -c /dev/kmsg";
      assertEquals((await ctr.run(["--privileged"], ["sh", "-c", script])).code, 0);
      const show = ["grep", "^NoNewPrivs", "/proc/self/status"];
      assertMatch(await ctr.output([], show), /\t1$/);
      assertMatch(await ctr.output(["--allow-new-privs"], show), /\t0$/);
      const flags = ["--device", "/dev/kmsg"];
      assertEquals(
        await ctr.output(flags, ["sh", "-c", "test -c /dev/kmsg && echo there"]),
        "there",
      );
    },
  },
  {
    name: "--read-only, --mount",
    async run(ctr) {
      const dir = Deno.makeTempDirSync({ dir: ctr.stage.dir });
      Deno.writeTextFileSync(`${dir}/file`, "from the host\n");
      const flags = ["--read-only", "--mount"];
      flags.push(`type=bind,src=${dir},dst=/tmp,options=rbind:ro`, "--mount");
      flags.push("type=tmpfs,src=tmpfs,dst=/home,options=size=1m");
      const script = "touch /x 2>/dev/null || touch /tmp/x 2>/dev/null || cat /tmp/file;" +
        "touch /home/x && df -k /home | tail -1 | tr -s ' ' | cut -d' ' -f2";
      assertEquals(await ctr.output(flags, ["sh", "-c", script]), "from the host\n1024");
    },
  },
  {
    name: "--net-host, and a namespace by path",
    async run(ctr) {
      const show = ["readlink", "/proc/self/ns/net"];
      const outside = (await ctr.stage.ok(show)).trim();
      assertEquals(await ctr.output(["--net-host"], show), outside);
      assert(await ctr.output([], show) !== outside);
      assertEquals(await ctr.output(["--with-ns", "network:/proc/1/ns/net"], show), outside);
    },
  },
  {
    name: "the processes of the host; processes, network and ipc of another container",
    run: (ctr) =>
      ctr.beside(["--pid-file", `${ctr.stage.dir}/pid`], ["sleep", "4321"], async () => {
        const first = ["cat", "/proc/1/cmdline"];
        assertMatch(await ctr.output(["--with-ns", "pid:/proc/1/ns/pid"], first), /^tini/);
        const ns = `/proc/${Deno.readTextFileSync(`${ctr.stage.dir}/pid`)}/ns`;
        const flags = ["pid", "network", "ipc"].flatMap((type) => [
          ...["--with-ns", `${type}:${ns}/${type === "network" ? "net" : type}`],
        ]);
        const words = (await ctr.output(flags, first)).split("\0");
        assertEquals(words.slice(0, 2), ["sleep", "4321"]);
        const links = (of: string) => ["sh", "-c", `readlink ${of}/net; readlink ${of}/ipc`];
        assertEquals(
          await ctr.output(flags, links("/proc/self/ns")),
          (await ctr.stage.ok(links(ns))).trim(),
        );
      }),
  },
  {
    name: "--pid-file, and the cgroup of the container",
    async run(ctr) {
      const file = `${ctr.stage.dir}/pid`;
      await ctr.beside(["--pid-file", file], SLEEPER, async (id) => {
        const pid = Deno.readTextFileSync(file);
        assertMatch(
          await ctr.stage.ok(["cat", `/proc/${pid}/cgroup`]),
          new RegExp(`:pids:/${MARK}/${id}$`, "m"),
        );
        assertEquals((await ctr.ok("task", "ls")).includes(pid), true);
      });
    },
  },
];

/** What is changed of a config.json. */
interface Spec {
  readonly root: { path: string };
  readonly process: { args: readonly string[]; rlimits?: unknown; oomScoreAdj?: number };
  readonly mounts: unknown[];
  readonly linux: { resources: Record<string, unknown>; sysctl?: unknown };
}

/** The config.json that ctr makes, with an unpacked root file system. */
async function specOf(ctr: Ctr): Promise<Spec> {
  const dir = Deno.makeTempDirSync({ dir: ctr.stage.dir });
  const tar = await makeRootfsTar(dir);
  Deno.mkdirSync(`${dir}/rootfs`);
  await ctr.stage.ok(["tar", "-C", `${dir}/rootfs`, "-xf", tar]);
  let spec: Spec | undefined;
  await ctr.beside([], SLEEPER, async (id) => {
    spec = JSON.parse(await ctr.ok("container", "info", "--spec", id));
  });
  if (spec === undefined) throw new Error("ctr told no config.json");
  spec.root.path = `${dir}/rootfs`;
  return spec;
}
