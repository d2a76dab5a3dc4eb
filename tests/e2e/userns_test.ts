// belay userns new: user namespaces that are pinned, or that a command lives in.
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { noFile, noProgram } from "../skip.ts";
import { host } from "./contained.ts";
import { processOf } from "./census.ts";
import { e2e, type Ended, until, type World } from "./world.ts";

const OBSTACLES = [noFile("/proc/self/ns/user"), noProgram("nsenter", "util-linux")];
const MAPS = ["--uid-map", "0:100000:1000,5000:7:1", "--gid-map", "0:200000:10"];
const UID_MAP = "0 100000 1000\n5000 7 1";
const GID_MAP = "0 200000 10";
/** Every directory of it can be searched by everybody. */
const env = { PATH: "/usr/bin:/bin" };

function userns(world: World, ...args: readonly string[]): Promise<Ended> {
  return world.belay(["userns", "new", ...args], { env });
}

/** Numbers of a map file, one space between them. */
function map(text: string): string {
  return text.trim().split("\n").map((line) => line.trim().replace(/ +/g, " ")).join("\n");
}

e2e("userns new -- CMD runs it in a namespace with these maps, as its root", async (world) => {
  const script = "cat /proc/self/uid_map; echo; cat /proc/self/gid_map; echo; id; exit 7";
  const { code, stdout, stderr } = await userns(world, ...MAPS, "--", "sh", "-c", script);
  assertEquals([code, stderr], [7, ""]);
  const [uids = "", gids = "", id] = stdout.split("\n\n");
  assertEquals([map(uids), map(gids)], [UID_MAP, GID_MAP]);
  assertEquals(id, "uid=0(root) gid=0(root) groups=0(root)\n");
}, OBSTACLES);

e2e("userns new -- CMD gives it belay's directory, environment and input", async (world) => {
  const script = "pwd; echo $MARK; cat; ls /proc/self/fd";
  const { stdout } = await world.belay(["userns", "new", ...MAPS, "--", "sh", "-c", script], {
    cwd: "/usr",
    env: { ...env, MARK: "mark" },
    stdin: "input\n",
  });
  assertEquals(stdout, "/usr\nmark\ninput\n0\n1\n2\n3\n");
}, OBSTACLES);

e2e("userns new -- CMD runs as the first id that is mapped where 0 is not", async (world) => {
  const maps = ["--uid-map", "7:100000:5", "--uid-map", "20:5:1", "--gid-map", "9:9:1"];
  const { code, stdout } = await userns(world, ...maps, "--", "sh", "-c", "id -u; id -g; id -G");
  assertEquals([code, stdout], [0, "7\n9\n9\n"]);
}, OBSTACLES);

e2e("userns new --json -- CMD tells of the namespace, and how the command ended", async (world) => {
  const maps = {
    uidMappings: [
      { containerID: 0, hostID: 100000, size: 1000 },
      { containerID: 5000, hostID: 7, size: 1 },
    ],
    gidMappings: [{ containerID: 0, hostID: 200000, size: 10 }],
  };
  for (
    const [last, how] of [["exit 3", { exitCode: 3 }], ["kill -9 $$", {
      signal: "SIGKILL",
    }]] as const
  ) {
    const script = `readlink /proc/self/ns/user; echo $$; ${last}`;
    const { stdout } = await userns(world, ...MAPS, "--json", "--", "sh", "-c", script);
    const [name = "", pid, line = ""] = stdout.split("\n");
    const inode = Number(/\d+/.exec(name)?.[0]);
    assertEquals(JSON.parse(line), { userns: inode, ...maps, pid: Number(pid), ...how });
  }
}, OBSTACLES);

e2e("userns new -- CMD exits with 127 or 126 as a shell does, and 128+n", async (world) => {
  const ended = async (...command: string[]) => {
    const { code, stderr } = await userns(world, ...MAPS, "--", ...command);
    return [code, /msg="(.*)"\n$/.exec(stderr)?.[1]?.replaceAll("\\", "") ?? stderr];
  };
  assertEquals(await ended("no-such-program"), [
    127,
    'belay userns new failed: exec: "no-such-program": no such file or directory',
  ]);
  assertEquals((await ended("/no/such"))[0], 127);
  assertEquals(await ended("/etc/passwd"), [
    126,
    'belay userns new failed: exec: "/etc/passwd": permission denied',
  ]);
  assertEquals(await ended("sh", "-c", "kill -KILL $$"), [137, ""]);
}, OBSTACLES);

e2e("userns new -- CMD hands signals on, also the one that comes at once", async (world) => {
  for (const signal of ["SIGTERM", "SIGUSR1", "SIGINT"] as const) {
    const script = `trap 'echo got; exit 42' ${
      signal.slice(3)
    }; echo ready; while :; do sleep 0.01; done`;
    const running = world.spawn(["userns", "new", ...MAPS, "--", "sh", "-c", script], { env });
    await until("its first word", () => running.stdout().includes("ready"));
    running.signal(signal);
    const { code, stdout, stderr } = await running.ended;
    assertEquals([code, stdout, stderr], [42, "ready\ngot\n", ""]);
  }
}, OBSTACLES);

e2e("userns new --name pins the namespace at a new file", async (world) => {
  const path = `${world.dir}/pinned`;
  const { code, stdout, stderr } = await userns(world, ...MAPS, "--name", path);
  assertEquals([code, stderr], [0, ""]);
  const inode = Deno.statSync(path).ino;
  assertEquals(stdout, `user:[${inode}] ${path}\n`);
  const inside = (...command: string[]) => host("nsenter", `--user=${path}`, ...command);
  assertEquals(map(await inside("cat", "/proc/self/uid_map")), UID_MAP);
  assertEquals(map(await inside("cat", "/proc/self/gid_map")), GID_MAP);
  assertEquals(await inside("readlink", "/proc/self/ns/user"), `user:[${inode}]`);

  const again = await userns(world, ...MAPS, "--name", path);
  assertEquals(again.code, 1);
  assertStringIncludes(again.stderr, "something is mounted at");
  await host("umount", path);
  // The file that is left serves the next one; a relative path is one, too.
  const json = await world.belay(["userns", "new", ...MAPS, "--json", "--name", "./pinned"]);
  assertEquals(json.code, 0, json.stderr);
  const told = JSON.parse(json.stdout);
  assertEquals([told.path, told.userns], [path, Deno.statSync(path).ino]);
  await host("umount", path);
  Deno.removeSync(path);
}, OBSTACLES);

e2e("userns new --name leaves a path alone that is something else", async (world) => {
  Deno.writeTextFileSync(`${world.dir}/file`, "content");
  Deno.mkdirSync(`${world.dir}/directory`);
  Deno.symlinkSync("file", `${world.dir}/link`);
  await host("mkfifo", `${world.dir}/fifo`);
  const before = await host("ls", "-lR", world.dir);
  for (const name of ["file", "directory", "link", "fifo"]) {
    const { code, stderr } = await userns(world, ...MAPS, "--name", `${world.dir}/${name}`);
    assertEquals(code, 1);
    assertStringIncludes(stderr, `${name} exists, and is no empty file`);
  }
  const missing = await userns(world, ...MAPS, "--name", `${world.dir}/missing/x`);
  assertStringIncludes(missing.stderr, `cannot make ${world.dir}/missing/x: `);
  const after = await host("ls", "-lR", world.dir);
  assertEquals(withoutIo(after), withoutIo(before));
}, OBSTACLES);

/** Without the files that a world keeps of what its programs print. */
function withoutIo(listing: string): string[] {
  return listing.split("\n").filter((line) => !/ io-\d+\.|^total/.test(line));
}

e2e("userns new --name: of several at once at one path, one gets it", async (world) => {
  const path = `${world.dir}/contended`;
  const all = await Promise.all(
    Array.from({ length: 6 }, () => userns(world, ...MAPS, "--name", path)),
  );
  assertEquals(all.filter(({ code }) => code === 0).length, 1);
  for (const { code, stderr } of all) {
    if (code !== 0) assertMatch(stderr, /mounted at|at this moment/);
  }
  const mounts = Deno.readTextFileSync("/proc/self/mountinfo").split("\n")
    .filter((line) => line.includes(path));
  assertEquals(mounts.length, 1);
  await host("umount", path);
  Deno.removeSync(path);
}, OBSTACLES);

e2e("userns new names the flag and the entry that is wrong", async (world) => {
  const good = ["--gid-map", "0:0:1"];
  const wrong: readonly (readonly [readonly string[], string])[] = [
    [["--uid-map", "0:1000"], '--uid-map: "0:1000": must be CONTAINER:HOST:SIZE'],
    [["--uid-map", "0:1:1,"], '--uid-map: "": must be CONTAINER:HOST:SIZE'],
    [["--uid-map", "0:-1:1"], '--uid-map: "0:-1:1": must be'],
    [["--uid-map", "0:1:0"], "--uid-map: 0:1:0.size: must be a whole number from 1"],
    [["--uid-map", "0:4294967290:9"], "--uid-map: 0:4294967290:9.size: must end before id"],
    [
      ["--uid-map", "0:1:5", "--uid-map", "4:100:1"],
      "--uid-map: 4:100:1.containerID: 4 is in the range of 0:1:5 already",
    ],
    [[], "--uid-map is missing"],
  ];
  for (const [flags, told] of wrong) {
    const { code, stderr } = await userns(world, ...flags, ...good, "--", "true");
    assertEquals(code, 1);
    assertStringIncludes(stderr.replaceAll("\\", ""), told);
  }
  assertStringIncludes((await userns(world, ...MAPS)).stderr, "it needs --name PATH or a command");
  const both = await userns(world, ...MAPS, "--name", `${world.dir}/x`, "--", "true");
  assertStringIncludes(both.stderr, "two ways to keep the namespace");
}, OBSTACLES);

e2e("userns new takes its command along when it is killed", async (world) => {
  const script = "echo $$; exec sleep 1000";
  const running = world.spawn(["userns", "new", ...MAPS, "--", "sh", "-c", script], { env });
  const pid = Number(await until("the command", () => /^\d+\n/.exec(running.stdout())?.[0]));
  assertEquals(processOf(pid)?.parent, running.pid);
  running.signal("SIGKILL");
  assertEquals((await running.ended).code, 128 + 9);
  await until("its end", () => !/[RSD]/.test(processOf(pid)?.state ?? ""));
}, OBSTACLES);
