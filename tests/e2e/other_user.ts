// belay as another user than root: an executable that this user can reach, a home and a runtime directory.
import { belayPath, type Ended, isLauncher } from "./belay.ts";
import { host } from "./contained.ts";
import type { AnySpec, Options, Running, World } from "./world.ts";

/** Nobody's ids, hopefully: no entry in /etc/passwd is needed. */
export const UID = 54321;
/** Its group, of another number so that a mix-up shows. */
export const GID = 54322;

/** Executes the rest of a command as this user. */
export const SETPRIV = [
  ...["setpriv", `--reuid=${UID}`, `--regid=${GID}`, "--clear-groups", "--inh-caps=-all"],
];

/** A user who is not root, with a place of its own in a world. */
export class OtherUser {
  /** The user's own directory. */
  readonly home: string;
  /** XDG_RUNTIME_DIR. */
  readonly runtimeDir: string;
  /** An executable that this user can reach. */
  readonly executable: string;

  constructor(private readonly world: World) {
    this.home = `${world.dir}/home`;
    this.runtimeDir = `${world.dir}/xdg`;
    for (const path of [this.home, this.runtimeDir]) {
      Deno.mkdirSync(path, { mode: 0o700 });
      Deno.chownSync(path, UID, GID);
    }
    this.executable = reachable(world.dir);
  }

  /** The state root, below the runtime directory. */
  get root(): string {
    return `${this.runtimeDir}/belay`;
  }

  /** Runs belay as this user, to its end. */
  belay(args: readonly string[], options: Options = {}): Promise<Ended> {
    return this.spawn(args, options).ended;
  }

  /** Starts belay as this user. */
  spawn(args: readonly string[], options: Options = {}): Running {
    return this.start([this.executable, ...args], options);
  }

  /** As `belay`, for what has to work; what it printed. @throws with what it said, when it did not. */
  async ok(args: readonly string[], options: Options = {}): Promise<string> {
    const ended = await this.belay(args, options);
    if (ended.code !== 0) throw new Error(`belay ${args.join(" ")}: ${JSON.stringify(ended)}`);
    return ended.stdout;
  }

  /** Starts any program as this user. */
  start(argv: readonly string[], options: Options = {}): Running {
    const env = { PATH: "/usr/bin:/bin", HOME: this.home, XDG_RUNTIME_DIR: this.runtimeDir };
    return this.world.start([...SETPRIV, ...argv], {
      clearEnv: true,
      ...options,
      env: { ...env, ...options.env },
    });
  }

  /** A bundle of this user's own, with `belay spec --rootless`'s configuration. */
  async bundle(
    args: readonly string[],
    change: (spec: AnySpec) => void = () => {},
  ): Promise<string> {
    const bundle = await this.world.bundle({ writable: true });
    Deno.removeSync(`${bundle}/config.json`);
    await host("chown", "-hR", `${UID}:${GID}`, bundle);
    await this.ok(["spec", "--rootless", "--bundle", bundle]);
    const spec = JSON.parse(Deno.readTextFileSync(`${bundle}/config.json`));
    Object.assign(spec.process, { terminal: false, args });
    change(spec);
    Deno.writeTextFileSync(`${bundle}/config.json`, JSON.stringify(spec));
    return bundle;
  }
}

/** Puts the executable where everybody can reach it, with the Deno that a launcher needs; its path. */
export function reachable(directory: string): string {
  const path = `${directory}/belay`;
  if (!isLauncher) {
    bring(belayPath, path);
    return path;
  }
  const text = Deno.readTextFileSync(belayPath);
  const deno = /^exec '?(\/[^' ]*)'? run/m.exec(text)?.[1];
  if (deno === undefined) throw new Error(`${belayPath} does not tell its Deno`);
  bring(deno, `${directory}/deno`);
  Deno.writeTextFileSync(path, text.replaceAll(deno, `${directory}/deno`), { mode: 0o755 });
  return path;
}

function bring(from: string, to: string): void {
  try {
    Deno.linkSync(from, to);
  } catch {
    Deno.copyFileSync(from, to); // another file system
  }
  Deno.chmodSync(to, 0o755);
}
