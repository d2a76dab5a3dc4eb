// Tests of config.json: a bundle with an image of its own, whose configuration a test changes between runs.
//
//   contained("process.user.umask is the process's umask", async (bundle) => {
//     bundle.config.process.user.umask = 0o077;
//     assertEquals(await bundle.ok("umask"), "0077");
//   });
import { assertEquals } from "@std/assert";
import { defaultSpec } from "../../runtime/spec/default_spec.ts";
import { type Obstacle } from "../skip.ts";
import { type AnySpec, e2e, type Ended, type Running, type World } from "./world.ts";

/** A test with a bundle, in a world of its own with its census. */
export function contained(
  name: string,
  work: (bundle: Bundle) => Promise<void>,
  obstacles: Obstacle | readonly Obstacle[] = [],
): void {
  e2e(name, (world) => work(new Bundle(world)), obstacles);
}

/** What the process is: a script for /bin/sh, or the arguments themselves. */
export type Program = string | readonly string[];

const DIRECTORIES = ["bin", "dev", "proc", "sys", "tmp", "etc", "root"];

/** A bundle, and the one container that runs from it. */
export class Bundle {
  readonly path: string;
  /** The image: busybox and a few directories, writable for the container. */
  readonly rootfs: string;
  /** A directory on the host, for sources of mounts and the like. */
  readonly host: string;
  /** `belay spec`'s configuration without terminal and with a writable root; each run writes it to config.json. */
  readonly config: AnySpec = structuredClone(defaultSpec());
  readonly id: string;

  constructor(readonly world: World) {
    this.path = `${world.dir}/bundle`;
    this.rootfs = `${this.path}/rootfs`;
    this.host = `${world.dir}/host`;
    this.id = world.id();
    for (const name of DIRECTORIES) Deno.mkdirSync(`${this.rootfs}/${name}`, { recursive: true });
    Deno.mkdirSync(this.host);
    Deno.copyFileSync("/bin/busybox", `${this.rootfs}/bin/busybox`);
    for (const applet of applets()) Deno.symlinkSync("busybox", `${this.rootfs}/bin/${applet}`);
    Deno.writeTextFileSync(`${this.rootfs}/etc/passwd`, "root:x:0:0:root:/root:/bin/sh\n");
    this.config.root.readonly = false;
    this.config.process.terminal = false;
  }

  /** Adds a mount. */
  mount(destination: string, type: string, source: string, ...options: string[]): void {
    this.config.mounts.push({ destination, type, source, options });
  }

  /** Adds a namespace, or changes the one of that type. */
  namespace(type: string, path?: string): void {
    this.without(type);
    this.config.linux.namespaces.push(path === undefined ? { type } : { type, path });
  }

  /** Takes a namespace out. */
  without(type: string): void {
    const { linux } = this.config;
    linux.namespaces = linux.namespaces.filter((each: { type: string }) => each.type !== type);
  }

  /** A new user namespace whose root is `hostID` outside. */
  userNamespace(hostID = 100_000, size = 65_536): void {
    this.namespace("user");
    this.config.linux.uidMappings = [{ containerID: 0, hostID, size }];
    this.config.linux.gidMappings = [{ containerID: 0, hostID, size }];
  }

  /** Makes a file in the image, and the directories above it. */
  file(path: string, content: string, mode = 0o644): void {
    const file = `${this.rootfs}/${path}`;
    Deno.mkdirSync(file.slice(0, file.lastIndexOf("/")), { recursive: true });
    Deno.writeTextFileSync(file, content, { mode });
  }

  /** Writes config.json. */
  write(program: Program = "true"): void {
    const args = typeof program === "string" ? ["/bin/sh", "-c", program] : program;
    this.config.process.args = args;
    Deno.writeTextFileSync(`${this.path}/config.json`, JSON.stringify(this.config));
  }

  /** `belay run`. */
  run(program: Program, ...flags: string[]): Promise<Ended> {
    return this.spawn(program, ...flags).ended;
  }

  /** `belay run`, under way. */
  spawn(program: Program, ...flags: string[]): Running {
    this.write(program);
    return this.world.spawn(["run", "--bundle", this.path, ...flags, this.id]);
  }

  /** `belay run` of what must end well; what it printed. */
  async ok(program: Program, ...flags: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.run(program, ...flags);
    assertEquals(code, 0, `${stdout}${stderr}`);
    return stdout.trimEnd();
  }

  /** `belay run` of what must not even start; the error. */
  async refused(program: Program = "true", ...flags: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.run(program, ...flags);
    assertEquals([code, stdout], [1, ""], stderr);
    return errorIn(stderr);
  }

  /** A container in the background, until the end of the block; its first process, as the host numbers it. */
  async detached(program: Program, ...flags: string[]): Promise<AsyncDisposable & { pid: number }> {
    this.write(program);
    const { world, path, id } = this;
    await world.ok(["run", "--detach", "--bundle", path, ...flags, id]);
    const { pid } = await world.state(id);
    const end = async () => void await world.ok(["delete", "--force", id]);
    return { pid, [Symbol.asyncDispose]: end };
  }
}

/** The error that belay printed, as a person would read it. */
export function errorIn(stderr: string): string {
  const quoted = /level=error msg=("(?:[^"\\]|\\.)*")/.exec(stderr)?.[1];
  return quoted === undefined ? stderr : JSON.parse(quoted);
}

/** Runs a program on the host that must end well; what it printed. */
export async function host(program: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await new Deno.Command(program, { args, stdin: "null" })
    .output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes).trimEnd();
  assertEquals(code, 0, `${program} ${args.join(" ")}: ${text(stderr)}`);
  return text(stdout);
}

let known: readonly string[] | undefined;

function applets(): readonly string[] {
  const { stdout } = known === undefined
    ? new Deno.Command("/bin/busybox", { args: ["--list"] }).outputSync()
    : { stdout: new Uint8Array() };
  known ??= new TextDecoder().decode(stdout).trim().split("\n").filter((name) =>
    name !== "busybox"
  );
  return known;
}
