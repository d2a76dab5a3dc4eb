// belay run of a container with a terminal, where belay itself has none: pipes, files, /dev/null.
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { type AnySpec, e2e, until, type World } from "./world.ts";

/** A bundle whose process has a terminal. */
function withTerminal(
  world: World,
  args: readonly string[],
  more: (spec: AnySpec) => void = () => {},
): Promise<string> {
  return world.bundle({
    args,
    config: (spec) => {
      spec.process.terminal = true;
      more(spec);
    },
  });
}

e2e("a script piped into a shell is run to its end", async (world) => {
  const bundle = await withTerminal(world, ["sh"]);
  const line = 'echo "echo sum $((40 + 2)); exit 5" | belay run --bundle "$1" "$2"; echo "code=$?"';
  const { stdout } = await world.script(line, [bundle, world.id()]).ended;
  assertStringIncludes(stdout, "sum 42\n");
  assertMatch(stdout, /code=5\n$/);
});

for (
  const [what, program, code] of [
    ["a shell", "sh", 0],
    ["cat", "cat", 0],
    ["a program that reads", "read x; exit 9", 9],
  ] as const
) {
  e2e(`the end of input ends ${what}, from /dev/null, a file and a pipe`, async (world) => {
    const args = program.includes(" ") ? ["sh", "-c", program] : [program];
    const bundle = await withTerminal(world, args);
    for (const from of ["</dev/null", "<empty", "< <(true)"]) {
      Deno.writeTextFileSync(`${world.dir}/empty`, "");
      const line = `belay run --bundle "$1" "$2" ${from}`;
      assertEquals((await world.script(line, [bundle, world.id()]).ended).code, code, from);
    }
  });
}

e2e("input that ends in the middle of a line is handed over, and then the end", async (world) => {
  const bundle = await withTerminal(world, ["sh", "-c", "stty -echo; echo ready; cat"]);
  const line =
    'touch out; (until grep -q ready out; do sleep 0.05; done; printf "no end of line") | belay run --bundle "$1" "$2" >out; cat out';
  const { code, stdout } = await world.script(line, [bundle, world.id()]).ended;
  assertEquals([code, stdout], [0, "ready\nno end of line"]);
});

e2e("a megabyte of output is not cut, through a pipe and into a file", async (world) => {
  const script = "i=0; while [ $i -lt 10000 ]; do echo $i; i=$((i + 1)); done | sed 's/$/ " +
    "x".repeat(95) + "/'";
  const bundle = await withTerminal(world, ["sh", "-c", script]);
  const expected = Array.from({ length: 10_000 }, (_, i) => `${i} ${"x".repeat(95)}\n`).join("");
  for (const to of ["| cat >out", ">out"]) {
    const line = `belay run --bundle "$1" "$2" </dev/null ${to}`;
    assertEquals((await world.script(line, [bundle, world.id()]).ended).code, 0);
    const out = Deno.readTextFileSync(`${world.dir}/out`);
    assert(out === expected, `${to}: ${out.length} of ${expected.length}`);
  }
});

e2e("the last words of a program that ends at once are not lost", async (world) => {
  const bundle = await withTerminal(world, [
    "sh",
    "-c",
    "head -c 3000 /dev/zero | tr '\\0' z; echo end",
  ]);
  for (let round = 0; round < 20; round++) {
    const { stdout } = await world.belay(["run", "--bundle", bundle, world.id()]);
    assertEquals(stdout.length, 3004);
    assert(stdout.endsWith("zend\n"));
  }
});

e2e(
  "a program that prints while it is not reading does not stop belay, nor belay it",
  async (world) => {
    // More than the terminal holds, both ways at once: whoever waits for the other waits for ever.
    const bundle = await withTerminal(world, [
      "sh",
      "-c",
      "stty raw -echo; echo ready; head -c 300000 /dev/zero; cat >/dev/null & sleep 0.5",
    ]);
    const line = 'head -c 1000000 /dev/zero | belay run --bundle "$1" "$2" | wc -c';
    const { stdout } = await world.script(line, [bundle, world.id()]).ended;
    assertEquals(stdout.trim(), "300006");
  },
);

e2e("input arrives in order and whole, as far as it is read", async (world) => {
  const bundle = await withTerminal(world, ["sh", "-c", "stty raw -echo; head -c 200000 | md5sum"]);
  const text = Array.from({ length: 40_000 }, (_, i) => String(10_000 + i % 80_000)).join("");
  const { stdout } = await world.ok(["run", "--bundle", bundle, world.id()], { stdin: text });
  const md5 = new Deno.Command("md5sum", { stdin: "piped", stdout: "piped" }).spawn();
  const writer = md5.stdin.getWriter();
  await writer.write(new TextEncoder().encode(text));
  await writer.close();
  const expected = new TextDecoder().decode((await md5.output()).stdout);
  assertEquals(stdout.slice(-expected.length), expected);
});

e2e(
  "when nobody reads the output any more the terminal is hung up, and the container ends",
  async (world) => {
    const bundle = await withTerminal(world, ["yes"]);
    const line = 'belay run --bundle "$1" "$2" </dev/null | head -n 1; echo "${PIPESTATUS[0]}"';
    const { stdout } = await world.script(line, [bundle, world.id()]).ended;
    assertMatch(stdout, /^y\n(1|129|141)\n$/);
  },
);

e2e("a full disk is told, and hangs the terminal up", async (world) => {
  const bundle = await withTerminal(world, ["yes"]);
  const line = 'belay run --bundle "$1" "$2" </dev/null >/dev/full; echo "code=$?"';
  const { stdout, stderr } = await world.script(line, [bundle, world.id()]).ended;
  assertEquals(stdout, "code=1\n");
  assertStringIncludes(stderr, "ENOSPC");
});

e2e("consoleSize is the size of a terminal that has no window", async (world) => {
  const bundle = await withTerminal(world, ["stty", "size"], (spec) => {
    spec.process.consoleSize = { height: 33, width: 111 };
  });
  assertEquals((await world.ok(["run", "--bundle", bundle, world.id()])).stdout, "33 111\n");
});

e2e(
  "the program's output and errors are both the terminal: they come on belay's output",
  async (world) => {
    const bundle = await withTerminal(world, [
      "sh",
      "-c",
      "echo out; echo err >&2; test -t 0 && test -t 1 && test -t 2 && echo tty",
    ]);
    const { stdout, stderr } = await world.ok(["run", "--bundle", bundle, world.id()]);
    assertEquals([stdout, stderr], ["out\nerr\ntty\n", ""]);
  },
);

e2e("a container that closes its terminal and opens it again is heard again", async (world) => {
  const bundle = await withTerminal(world, [
    "sh",
    "-c",
    "exec <&- >&- 2>&-; sleep 0.3; echo back >/dev/console; sleep 0.3",
  ]);
  const { stdout } = await world.ok(["run", "--bundle", bundle, world.id()]);
  assertEquals(stdout, "back\n");
});

e2e("SIGTERM for belay gets to a program that has a terminal", async (world) => {
  const bundle = await withTerminal(world, [
    "sh",
    "-c",
    "trap 'echo bye; exit 8' TERM; echo ready; while :; do sleep 0.05; done",
  ]);
  const run = world.script(
    'mkfifo in; exec 8<>in; exec "$BELAY" --root "$ROOT" run --bundle "$1" "$2" <&8',
    [bundle, world.id()],
  );
  await until("it is ready", () => run.stdout().includes("ready"));
  run.signal("SIGTERM");
  const { code, stdout } = await run.ended;
  assertEquals([code, stdout], [8, "ready\nbye\n"]);
});

e2e("a terminal needs a devpts; without one create says so, and leaves nothing", async (world) => {
  const bundle = await withTerminal(world, ["true"], (spec) => {
    spec.mounts = spec.mounts.filter(({ type }: { type: string }) => type !== "devpts");
  });
  const { code, stderr } = await world.belay(["run", "--bundle", bundle, world.id()]);
  assertEquals(code, 1);
  assertMatch(stderr, /process\.terminal: .*devpts|process\.terminal: cannot make/);
});

e2e(
  "a file that the image puts where the terminal's master should be is not taken for it",
  async (world) => {
    // No devpts, but a device of that name on the image's own /dev/pts.
    const bundle = await world.bundle({
      args: ["true"],
      files: { "dev/pts/ptmx": "no terminal" },
      config: (spec) => {
        spec.process.terminal = true;
        spec.mounts = spec.mounts.filter(({ destination }: { destination: string }) =>
          !destination.startsWith("/dev")
        );
      },
    });
    const { code, stderr } = await world.belay(["run", "--bundle", bundle, world.id()]);
    assertEquals(code, 1);
    assertStringIncludes(stderr, "/dev/pts/ptmx is not on a devpts");
  },
);
