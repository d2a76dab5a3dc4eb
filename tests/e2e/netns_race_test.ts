// Many at once, as in Debian #949235, where parallel `ip netns add` drowned the machine in mounts: exactly one line more
// in mountinfo for the directory and one for each name, whoever comes when, and however slow mounting is.
import { assert, assertEquals } from "@std/assert";
import { noProgram } from "../skip.ts";
import { isLauncher } from "./belay.ts";
import { errorIn } from "./contained.ts";
import { type NetnsCensus, NetnsWorld, type Propagation } from "./netns_world.ts";
import { e2e } from "./world.ts";

const noIp = noProgram("ip", "iproute2");
const noStrace = noProgram("strace");
const MANY = { timeoutMs: 240_000 };

function race(
  name: string,
  propagation: Propagation,
  work: (inside: NetnsWorld) => Promise<void>,
  obstacles: Parameters<typeof e2e>[2] = [],
): void {
  e2e(`netns race: ${name}`, async (world) => {
    const inside = await NetnsWorld.start(world, propagation);
    await work(inside);
    await inside.end();
  }, obstacles);
}

/** What a fresh system with these names, and no other, counts. */
function whole(linesBefore: number, names: readonly string[]): NetnsCensus {
  return {
    directory: 1,
    mounts: Object.fromEntries(names.toSorted().map((name) => [name, 1])),
    entries: names.toSorted(),
    lines: linesBefore + 1 + names.length,
  };
}

function sorted({ mounts, ...rest }: NetnsCensus): NetnsCensus {
  const names = Object.keys(mounts).sort();
  return { ...rest, mounts: Object.fromEntries(names.map((name) => [name, mounts[name] ?? 0])) };
}

function numbered(prefix: string, count: number): string[] {
  return Array.from({ length: count }, (_, i) => `${prefix}${i + 1}`);
}

for (const propagation of ["private", "shared"] as const) {
  // Once on a machine is enough for the many: a compiled belay takes twice as long to start.
  const count = propagation === "private" && isLauncher ? 200 : 40;
  race(`${count} adds at once on a fresh, ${propagation} /run`, propagation, async (inside) => {
    const before = inside.census().lines;
    await inside.script(
      `pids=; for i in $(seq ${count}); do belay netns add n$i & pids="$pids $!"; done
       for pid in $pids; do wait $pid || exit 1; done`,
      MANY,
    );
    assertEquals(sorted(inside.census()), whole(before, numbered("n", count)));
    // None is another's: 200 names are 200 namespaces.
    const inodes = numbered("n", count).map((name) =>
      Deno.statSync(inside.path(`/run/netns/${name}`)).ino
    );
    assertEquals(new Set(inodes).size, count);
    await inside.ok(["delete", "n", `--count=${count}`]);
    assertEquals(inside.census(), { ...whole(before, []) });
  });
}

race("50 adds of belay's beside 50 of ip's", "private", async (inside) => {
  const before = inside.census().lines;
  await inside.script(
    `pids=
     for i in $(seq 50); do
       belay netns add b$i & pids="$pids $!"; ip netns add i$i & pids="$pids $!"
     done
     for pid in $pids; do wait $pid || exit 1; done`,
    MANY,
  );
  const names = [...numbered("b", 50), ...numbered("i", 50)];
  assertEquals(sorted(inside.census()), whole(before, names));
  await inside.script(
    `pids=
     for i in $(seq 50); do ip netns delete b$i & pids="$pids $!"; done
     belay netns delete i --count 50 & pids="$pids $!"
     for pid in $pids; do wait $pid || exit 1; done`,
    MANY,
  );
  assertEquals(inside.census(), whole(before, []));
}, noIp);

/** Every mount takes a second longer, while whoever holds the lock still has it. */
const SLOW = "strace -f -qqq -o /dev/null -e trace=mount,move_mount " +
  "-e inject=mount,move_mount:delay_exit=1000000";

race("every mount a second late, belay beside ip", "private", async (inside) => {
  const before = inside.census().lines;
  await inside.script(
    `pids=
     for i in 1 2 3 4; do ${SLOW} "$BELAY" --root "$ROOT" netns add b$i & pids="$pids $!"; done
     for i in 1 2; do ${SLOW} ip netns add i$i & pids="$pids $!"; done
     for pid in $pids; do wait $pid || exit 1; done`,
    MANY,
  );
  const names = [...numbered("b", 4), ...numbered("i", 2)];
  assertEquals(sorted(inside.census()), whole(before, names));
}, [noIp ?? noStrace]);

race("of many adds of one name one wins", "private", async (inside) => {
  const all = await Promise.all(numbered("", 12).map(() => inside.netns(["add", "same"])));
  assertEquals(all.filter(({ code }) => code === 0).length, 1);
  for (const { code, stderr } of all) {
    if (code !== 0) assert(errorIn(stderr).endsWith('"same" exists already'), stderr);
  }
  assertEquals(inside.census().mounts, { same: 1 });
});

race(
  "adds and deletes of the same names leave every name whole, or gone",
  "private",
  async (inside) => {
    await inside.script(
      `for round in $(seq 12); do
       for name in x y; do belay netns add $name & belay netns delete $name & done
     done 2>/dev/null; wait`,
      MANY,
    );
    const { mounts, entries, directory } = inside.census();
    assertEquals(Object.keys(mounts).sort(), entries);
    assertEquals(new Set([1, ...Object.values(mounts)]), new Set([1]));
    assertEquals(directory, 1);
    assertEquals((await inside.ok(["repair", "--json"])).stdout, "[]\n");
    await inside.ok(["delete", "--force", "x", "y"]);
    assertEquals(inside.census().mounts, {});
  },
);

race(
  "delete leaves alone what got the name while it waited for the lock",
  "private",
  async (inside) => {
    await inside.ok(["add", "a"]);
    const old = Deno.statSync(inside.path("/run/netns/a")).ino;
    // Somebody holds the lock until belay waits for it, and replaces the namespace meanwhile.
    const { stdout } = await inside.script(`
    exec 9</run/netns; flock 9
    "$BELAY" --root "$ROOT" netns delete a 9<&- & pid=$!
    until grep -q -- "-> FLOCK .* $pid " /proc/locks; do kill -0 $pid || exit 9; sleep 0.01; done
    ip netns delete a; touch /run/netns/a
    unshare --net mount --bind /proc/self/ns/net /run/netns/a || exit 8
    flock -u 9; wait $pid; echo code $?`);
    assertEquals(stdout, "code 1\n");
    const now = Deno.statSync(inside.path("/run/netns/a")).ino;
    assert(now !== old);
    assertEquals(inside.census().mounts, { a: 1 });
  },
  noIp,
);

race(
  "a name whose add was killed between its two calls is named and repaired",
  "private",
  async (inside) => {
    // The file is made, the mount is late, and belay is gone before it comes back.
    const { stdout } = await inside.script(`
    strace -f -qqq -o /dev/null -e trace=move_mount -e inject=move_mount:signal=KILL:error=EIO:when=2 \\
      "$BELAY" --root "$ROOT" netns add a
    ls /run/netns
    belay netns add a 2>&1 | grep -o 'exists without a namespace'
    belay netns repair; ls /run/netns; belay netns add a; ls /run/netns; belay netns repair`);
    assertEquals(stdout.trimEnd().split("\n"), [
      "a",
      "exists without a namespace",
      "a: no namespace is mounted on it: whoever added or deleted it was interrupted: removed",
      "a",
    ]);
  },
  noStrace,
);
