// belay run on a terminal: a person's shell in a container.
import { assertEquals } from "@std/assert";
import { children, reap } from "../faults/housekeeping.ts";
import { noProgram } from "../skip.ts";
import { type AnySpec, belayPath, e2e, until, type World } from "./world.ts";
import { commandLine, descendants, type Process } from "./census.ts";
import { Terminal } from "./tmux.ts";

/** A test with a terminal, which is closed at the end. */
function onTerminal(
  name: string,
  work: (world: World, terminal: Terminal) => Promise<void>,
): void {
  e2e(name, async (world) => {
    const terminal = await Terminal.open(world);
    try {
      await work(world, terminal);
    } finally {
      await terminal.close();
    }
  }, noProgram("tmux"));
}

/** A shell in a container, at its prompt. */
async function shellIn(
  world: World,
  terminal: Terminal,
  config: (spec: AnySpec) => void = () => {},
): Promise<string> {
  const bundle = await world.bundle({
    args: ["sh"],
    config: (spec) => {
      spec.process.terminal = true;
      spec.process.env.push("PS1=inside> ");
      config(spec);
    },
  });
  const id = world.id();
  await terminal.enter(`'${belayPath}' --root $ROOT run --bundle ${bundle} ${id}; echo "code=$?"`);
  await terminal.wait(/^inside> $/m);
  return id;
}

/** The sleep that a container's shell runs: seen here, it is executed, and so in the foreground. */
function sleeper(): Process | undefined {
  return descendants().find(({ pid }) => commandLine(pid) === "sleep 1000");
}

/** Leaves the shell. */
async function leave(terminal: Terminal, code = 0): Promise<void> {
  await terminal.enter(`exit ${code}`);
  await terminal.wait(new RegExp(`^code=${code}$`, "m"));
}

/** The outer terminal's settings, as stty knows them. */
async function settings(world: World, terminal: Terminal): Promise<string> {
  const file = `${world.dir}/stty-${crypto.randomUUID()}`;
  await terminal.enter(`stty -g >${file}; stty -a >>${file}`);
  return await until("stty", () => {
    try {
      const text = Deno.readTextFileSync(file);
      return text.includes("echoke") && text.endsWith("\n") ? text : undefined;
    } catch {
      return undefined; // the shell has not come to it
    }
  });
}

onTerminal("belay spec && belay run gives a shell", async (world, terminal) => {
  const bundle = await world.bundle({ writable: true });
  Deno.removeSync(`${bundle}/config.json`);
  await terminal.enter(
    `cd ${bundle}; '${belayPath}' spec && '${belayPath}' --root $ROOT run ${world.id()}; echo "code=$?"`,
  );
  await terminal.wait(/^\/ # $/m);
  await terminal.enter("echo $((6 * 7)); tty; hostname");
  await terminal.wait(/^42\n\/dev\/pts\/0\nbelay$/m);
  await terminal.enter("ps -o pid,args | head -2");
  await terminal.wait(/^ +1 sh$/m);
  await leave(terminal, 3);
});

onTerminal("Ctrl-C ends what runs, and not the shell", async (world, terminal) => {
  await shellIn(world, terminal);
  await terminal.enter("sleep 1000; echo woken=$?");
  await until("it sleeps", () => sleeper());
  await terminal.keys("C-c");
  // The shell gives the whole line up, or goes on to the next command: both are shells' ways.
  await terminal.wait(/\^C\n+(woken=130\n)?inside> $/m);
  await terminal.enter("echo still here");
  await terminal.wait(/^still here$/m);
  await leave(terminal);
});

onTerminal("Ctrl-Z stops what runs, and fg takes it back", async (world, terminal) => {
  await shellIn(world, terminal);
  await terminal.enter("sh -c 'sleep 1000; true'");
  await until("it sleeps", () => sleeper());
  await terminal.keys("C-z");
  await terminal.wait(/Stopped/);
  await terminal.enter("jobs");
  await terminal.wait(/\[1\].*Stopped.*sh -c/);
  await terminal.enter("fg");
  await until("it goes on", () => sleeper()?.state !== "T");
  await terminal.keys("C-c");
  await terminal.enter("echo still here");
  await terminal.wait(/^still here$/m);
  await leave(terminal);
});

onTerminal("Ctrl-D ends the shell, with its last code", async (world, terminal) => {
  await shellIn(world, terminal);
  await terminal.enter("(exit 6)");
  // Typed before the shell is back at its prompt it would be lost with the terminal's mode.
  await terminal.wait(/^inside> \(exit 6\)\ninside> $/m);
  await terminal.keys("C-d");
  await terminal.wait(/^code=6$/m);
});

onTerminal(
  "the window's size is the container's, also when it changes",
  async (world, terminal) => {
    await shellIn(world, terminal);
    await terminal.enter("stty size");
    await terminal.wait(/^24 80$/m);
    await terminal.enter("trap 'echo winch' WINCH");
    for (const [columns, rows] of [[100, 30], [60, 20]] as const) {
      await terminal.resize(columns, rows);
      await until("it follows", async () => {
        await terminal.enter("clear; stty size");
        await new Promise((resolve) => setTimeout(resolve, 100));
        return new RegExp(`^${rows} ${columns}$`, "m").test(await terminal.text());
      });
    }
    await leave(terminal);
  },
);

onTerminal("consoleSize gives way to a window that has a size", async (world, terminal) => {
  await shellIn(world, terminal, (spec) => spec.process.consoleSize = { height: 11, width: 22 });
  await terminal.enter("stty size");
  await terminal.wait(/^24 80$/m);
  await leave(terminal);
});

onTerminal("the terminal is as it was when the shell has ended", async (world, terminal) => {
  const before = await settings(world, terminal);
  await shellIn(world, terminal);
  await terminal.enter("stty raw -echo; stty sane; stty -icrnl icrnl");
  await leave(terminal);
  assertEquals(await settings(world, terminal), before);
});

onTerminal("the terminal is as it was when the container was killed", async (world, terminal) => {
  const before = await settings(world, terminal);
  for (const args of [["kill"], ["delete", "--force"]]) {
    const id = await shellIn(world, terminal);
    await world.ok([...args, id, ...(args[0] === "kill" ? ["KILL"] : [])]);
    await terminal.wait(/code=137$/m);
    await terminal.clear();
    assertEquals(await settings(world, terminal), before, args.join(" "));
  }
});

onTerminal(
  "the terminal is as it was when belay was signalled from outside",
  async (world, terminal) => {
    const before = await settings(world, terminal);
    for (const [name, number] of [["TERM", 15], ["HUP", 1], ["INT", 2]] as const) {
      await shellIn(world, terminal);
      // The shell leaves as it would on its own terminal's signals.
      await terminal.enter(`trap 'exit ${number + 100}' ${name}; echo armed`);
      await terminal.wait(/^armed$/m);
      Deno.kill(belayOn(world), `SIG${name}`);
      // A shell at its prompt looks at its traps when something is typed.
      await terminal.keys("Enter");
      await terminal.wait(new RegExp(`code=${number + 100}$`, "m"));
      await terminal.clear();
      assertEquals(await settings(world, terminal), before, name);
    }
  },
);

/** The process number of the `belay run` that is under way. */
function belayOn(world: World): number {
  const found = descendants().find(({ pid }) => {
    const line = commandLine(pid);
    return line.includes(` --root ${world.root} run `) && !line.startsWith("tmux");
  });
  if (found === undefined) throw new Error("no belay runs");
  return found.pid;
}

onTerminal(
  "the terminal is as it was when the program could not be executed",
  async (world, terminal) => {
    const before = await settings(world, terminal);
    for (const args of [["no-such-program"], ["/garbage"]]) {
      const bundle = await world.bundle({
        args,
        files: { garbage: new Uint8Array([1, 2, 3]) },
        config: (spec) => spec.process.terminal = true,
      });
      await terminal.enter(
        `'${belayPath}' --root $ROOT run --bundle ${bundle} ${world.id()}; echo "code=$?"`,
      );
      await terminal.wait(/^code=1$/m);
      await terminal.wait(/executable file not found in|exec format error/);
      await terminal.clear();
      assertEquals(await settings(world, terminal), before, args.join(" "));
    }
  },
);

onTerminal("the terminal is as it was when a poststart hook failed", async (world, terminal) => {
  const before = await settings(world, terminal);
  const bundle = await world.bundle({
    args: ["sh"],
    config: (spec) => {
      spec.process.terminal = true;
      spec.hooks = { poststart: [{ path: "/bin/false" }] };
    },
  });
  await terminal.enter(
    `'${belayPath}' --root $ROOT run --bundle ${bundle} ${world.id()}; echo "code=$?"`,
  );
  await terminal.wait(/^code=1$/m);
  assertEquals(await settings(world, terminal), before);
});

onTerminal("lines end as they should: no staircase", async (world, terminal) => {
  await shellIn(world, terminal);
  await terminal.enter("printf 'one\\ntwo\\nthree\\n'");
  await terminal.wait(/^one\ntwo\nthree\ninside> $/m);
  await leave(terminal);
});

onTerminal(
  "a background job is stopped, not spinning, and goes on in the foreground",
  async (world, terminal) => {
    const bundle = await world.bundle({
      args: ["sh", "-c", "echo hello; read x; echo got $x"],
      config: (spec) => spec.process.terminal = true,
    });
    await terminal.enter(`'${belayPath}' --root $ROOT run --bundle ${bundle} ${world.id()} &`);
    await until("it is stopped", async () => {
      await terminal.enter("jobs");
      await new Promise((resolve) => setTimeout(resolve, 200));
      return /Stopped/.test(await terminal.text());
    });
    await terminal.enter("fg");
    await terminal.wait(/^hello$/m);
    await terminal.enter("line");
    await terminal.wait(/^got line$/m);
    await terminal.wait(/\$ $/m);
  },
);

onTerminal(
  "when the window is closed, the container's shell ends, and with it the container",
  async (world, terminal) => {
    await shellIn(world, terminal);
    await terminal.close(); // the census sees to the rest
  },
);

onTerminal("the container's terminal is its own, on its own devpts", async (world, terminal) => {
  await shellIn(world, terminal);
  await terminal.enter("ls -l /proc/1/fd | grep -c /dev/pts/0; ls /dev/pts; ls -l /dev/console");
  await terminal.wait(/^3\n0\s+ptmx\nc.* 136, +0 .*\/dev\/console$/m);
  await terminal.enter("echo to-the-console >/dev/console");
  await terminal.wait(/^to-the-console$/m);
  await terminal.enter("echo to-the-tty >/dev/tty");
  await terminal.wait(/^to-the-tty$/m);
  await leave(terminal);
});

onTerminal("belay's terminal is as it was when belay was killed", async (world, terminal) => {
  const bundle = await world.bundle({
    args: ["sh", "-c", "echo inside; exec sleep 1000"],
    config: (spec) => spec.process.terminal = true,
  });
  // A shell without job control, as of a script: it sets no terminal itself.
  const script = `${world.dir}/script`;
  const isSet = "stty -a | grep -q ' icanon'";
  Deno.writeTextFileSync(
    script,
    `sh -c 'echo $$ >"$ROOT.pid"; exec "$0" "$@"' "$B" --root "$ROOT" "$@"
until ${isSet}; do :; done; echo restored; stty -a >"$ROOT.stty"`,
  );
  const before = await settings(world, terminal);
  const run = async (...args: string[]) => {
    await terminal.clear(); // of what the run before has printed
    await terminal.enter(`B='${belayPath}' sh ${script} ${args.join(" ")}; echo over`);
    await terminal.wait(/^inside$/m);
    Deno.kill(Number(Deno.readTextFileSync(`${world.root}.pid`)), "SIGKILL");
    await terminal.wait(/^restored\n(?:.*\n)*over$/m);
    assertEquals(before.endsWith(Deno.readTextFileSync(`${world.root}.stty`)), true);
  };
  const id = world.id();
  await run("run", "--bundle", bundle, id);
  await world.ok(["delete", "--force", id]);

  const other = world.id();
  const idle = await world.bundle({ args: ["sleep", "1000"] });
  await world.ok(["run", "--detach", "--bundle", idle, other]);
  await run("exec", "--tty", other, "sh", "-c", '"echo inside; exec sleep 1000"');
  await world.ok(["delete", "--force", other]);
  // The program whose belay was killed is this process's to reap, and the first process waits for that.
  await until("both have ended", () => {
    for (const pid of children()) reap(pid);
    return descendants().every(({ name }) => name !== "sleep");
  });
});
