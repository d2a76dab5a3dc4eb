/**
 * Runs the checks and the tests, and ends with the line `N passed, N failed, N skipped`.
 *
 * Usage: deno run -A scripts/test.ts [ok] [e2e] [clients] [--sweep=all|none] [--clients=all|few] [--filter=TEXT]
 *
 *   ok            format, lint, types, documentation, unit tests; needs no root
 *   e2e           builds dist/belay and tests it as a user runs it, with the clients and the sweep; needs root
 *   clients       docker, containerd, podman and buildah with belay beside runc; needs root
 *   --sweep=all   the fault sweep walks every point, not a seeded part (BELAY_SWEEP=all)
 *   --sweep=none  no fault sweep: it does not run the executable, so once is enough for two executables
 *   --clients=all the clients' long checks: 200 containers in sequence, 300 killings (BELAY_CLIENTS=all)
 *   --clients=few containerd alone, for a second executable
 *   --filter=TEXT only the tests with TEXT in their names
 *   BELAY_BIN     an executable to test instead of building dist/belay
 *
 * A check counts as one test. A skipped test says SKIP and why; the reasons are listed at the end, after what went wrong,
 * each line with a `!`.
 */
import { parseArgs } from "@std/cli/parse-args";
import { needs } from "./needs.ts";
import { runModules } from "./run_modules.ts";
import { capture, step } from "./step.ts";
import { addTallies, readTally, type Tally } from "./tally.ts";

const root = new URL("..", import.meta.url).pathname;
const deno = Deno.execPath();

const UNIT_NEEDS = {
  "binutils": "assembles the stub",
  "binutils-aarch64-linux-gnu": "assembles the stub for aarch64",
  "gcc": "says what the kernel's headers mean",
  "libc6-dev": "the headers, the kernel's among them",
  "libseccomp2": "compiles system call filters",
  "qemu-user-static": "executes the stub for aarch64",
};

const E2E_NEEDS = {
  "busybox-static": "the root file system of the containers",
  "dbus": "a bus of its own for a stand-in for systemd",
  "iproute2": "the other `ip netns`, beside belay's",
  "libseccomp2": "compiles system call filters",
  "procps": "the ps(1) that `belay ps` asks",
  "strace": "sees which files belay opens",
  "tmux": "a terminal to test terminals with",
};

/** Test modules that run side by side: one for each processor of the smallest machine. */
const AT_ONCE = 2;

/** Format, lint, types, documentation, unit tests. */
async function ok(filter: readonly string[]): Promise<Tally> {
  await needs(UNIT_NEEDS);
  const modules = [...modulesIn("ffi"), ...modulesIn("runtime")];
  return addTallies([
    await check("format", ["fmt", "--check"]),
    await check("lint", ["lint", "--quiet"]),
    await check("types", ["check", "--quiet", "main.ts", "scripts", "tests"]),
    await check("documentation", ["run", "--allow-all", "scripts/doc_lint.ts", ...modules]),
    await tests("unit tests", ["tests/unit"], filter),
  ]);
}

const CLIENTS_NEEDS = {
  "runc": "what belay is compared with",
  "containerd": "a client, and what docker runs on",
  "docker.io": "a client",
  "podman": "a client",
  "buildah": "a client",
  "conmon": "what podman and buildah watch containers with",
  "netavark": "podman's networks",
  "aardvark-dns": "podman's networks",
  "catatonit": "podman's --init",
  "golang-github-containers-common": "the configuration of podman and buildah",
  "slirp4netns": "the network of an ordinary user's podman",
  "uidmap": "user namespaces of podman and buildah",
  "iptables": "the clients' networks",
  "iproute2": "the clients' networks",
  "procps": "kill(1), by which daemons end",
  "tini": "reaps what the clients' daemons leave",
  "busybox-static": "the containers' root file system",
};

/** docker, containerd, podman and buildah, with the executable as their runtime, beside runc. */
async function clients(filter: readonly string[]): Promise<Tally> {
  await needs(CLIENTS_NEEDS);
  const built = await buildUnlessGiven();
  if (built !== undefined) return built;
  // A second executable calls the kernel as the first does: one client is enough to see that it starts under a shim.
  const few = Deno.env.get("BELAY_CLIENTS") === "few";
  const only = few ? /\/containerd_test\.ts$/ : /./;
  return await runTests("clients", ["tests/clients"], filter, only);
}

/** The built executable, as a user runs it. */
async function e2e(filter: readonly string[]): Promise<Tally> {
  await needs(E2E_NEEDS);
  const built = await buildUnlessGiven();
  if (built !== undefined) return built;
  const run = addTallies([
    await runTests("end to end tests", ["tests/e2e"], filter),
    await clients(filter),
  ]);
  if (Deno.env.get("BELAY_SWEEP") === "none") return run;
  return addTallies([run, await tests("the fault sweep", ["tests/faults"], filter)]);
}

/** Runs the test modules of some directories, each in a process of its own. */
async function runTests(
  title: string,
  directories: readonly string[],
  filter: readonly string[],
  only = /./,
): Promise<Tally> {
  console.log(`· ${title}`);
  const modules = directories.flatMap(modulesIn)
    .filter((path) => path.endsWith("_test.ts") && only.test(path));
  return await runModules(modules, {
    cwd: root,
    args: ["--allow-all", "--no-check", ...filter],
    atOnce: Math.min(AT_ONCE, navigator.hardwareConcurrency),
  });
}

/** Builds dist/belay, unless BELAY_BIN names an executable. @returns what failed, if anything did. */
async function buildUnlessGiven(): Promise<Tally | undefined> {
  if (Deno.env.has("BELAY_BIN")) return undefined;
  const built = await check("build", ["run", "--allow-all", "scripts/build.ts"]);
  return built.failed > 0 ? built : undefined;
}

/** Runs one subcommand of Deno that passes or fails as a whole. */
async function check(title: string, args: readonly string[]): Promise<Tally> {
  const { code, stdout, stderr } = await step(
    title,
    () => capture([deno, ...args], { cwd: root, env: { NO_COLOR: "1" } }),
  );
  if (code !== 0) console.log(`FAILED ${title}\n${stdout}${stderr}`);
  else if (title === "build") console.log(stdout.trimEnd());
  const failed = code === 0 ? 0 : 1;
  const errors = failed === 0 ? [] : [`${title}\n${stdout}${stderr}`.trim()];
  return { passed: 1 - failed, failed, skipped: 0, reasons: [], errors };
}

/** Runs `deno test`, shows what it prints as it comes, and counts. */
async function tests(
  title: string,
  paths: readonly string[],
  filter: readonly string[],
): Promise<Tally> {
  console.log(`· ${title}`);
  const child = new Deno.Command(deno, {
    // The types are a check of their own.
    args: ["test", "--allow-all", "--no-check", ...filter, ...paths],
    cwd: root,
    env: { NO_COLOR: "1" },
    stdin: "null",
    stdout: "piped",
  }).spawn();
  let output = "";
  for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
    output += text;
    await Deno.stdout.write(new TextEncoder().encode(text));
  }
  return readTally(output, (await child.status).code);
}

/** The modules below a directory, as paths from the root of the project. */
function modulesIn(directory: string): string[] {
  const entries = [...Deno.readDirSync(root + directory)].toSorted((a, b) =>
    a.name < b.name ? -1 : 1
  );
  return entries.flatMap(({ name, isDirectory }) => {
    const path = `${directory}/${name}`;
    return isDirectory ? modulesIn(path) : name.endsWith(".ts") ? [path] : [];
  });
}

/** What a mistyped flag says: that everything ran, and that a part was meant to, must not look alike. */
function refuse(problem: string): never {
  console.error(`${problem}; see the top of scripts/test.ts`);
  Deno.exit(2);
}

const args = parseArgs(Deno.args, {
  string: ["sweep", "clients", "filter"],
  unknown: (arg) => !arg.startsWith("-") || refuse(`${arg}: unknown`),
});
for (const [flag, values] of [["sweep", ["all", "none"]], ["clients", ["all", "few"]]] as const) {
  const value: unknown = args[flag];
  if (value !== undefined && !(values as readonly unknown[]).includes(value)) {
    refuse(`--${flag}: ${value} is not one of ${values.join(", ")}`);
  }
}
if (args["sweep"] !== undefined) Deno.env.set("BELAY_SWEEP", String(args["sweep"]));
if (args["clients"] !== undefined) Deno.env.set("BELAY_CLIENTS", String(args["clients"]));
const filter = args["filter"] === undefined ? [] : [`--filter=${args["filter"]}`];
const suites = args._.length === 0 ? ["ok", "e2e"] : args._;
const tallies: Tally[] = [];
for (const suite of suites) {
  if (suite === "ok") tallies.push(await ok(filter));
  else if (suite === "clients") tallies.push(await clients(filter));
  else if (suite === "e2e") tallies.push(await e2e(filter));
  else refuse(`${suite}: no such suite`);
}
const sum = addTallies(tallies);
for (const error of sum.errors) console.log(error.replace(/^/gm, "! "));
for (const reason of sum.reasons) console.log(reason);
console.log(`${sum.passed} passed, ${sum.failed} failed, ${sum.skipped} skipped`);
Deno.exit(sum.failed === 0 ? 0 : 1);
