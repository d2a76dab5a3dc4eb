// A terminal to run belay on: tmux, one server for each.
import { until, type World } from "./world.ts";

let count = 0;

/** A window of tmux with a plain shell in it, whose prompt is `$ `. */
export class Terminal {
  /** In the world's directory, and gone with it: tmux leaves its sockets behind. */
  readonly #socket: string;
  #closed = false;

  private constructor(private readonly world: World) {
    this.#socket = `${world.dir}/tmux-${++count}`;
  }

  /** Opens one of 80 columns and 24 rows. @param env For the shell in it. */
  static async open(world: World, env: Record<string, string> = {}): Promise<Terminal> {
    const terminal = new Terminal(world);
    const all = { PS1: "$ ", TERM: "screen", ROOT: world.root, ...env };
    const shell = Object.entries(all).map(([name, value]) => `${name}='${value}'`).join(" ");
    await terminal.#tmux(
      ...["-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", "-c", world.dir],
      `env ${shell} bash --norc --noprofile --noediting -i`,
    );
    // The status line takes a row.
    await terminal.#tmux("set", "-g", "status", "off");
    await terminal.#tmux("set", "-g", "window-size", "manual");
    await terminal.resize(80, 24);
    await terminal.wait(/^\$ $/m);
    return terminal;
  }

  /** Types, and presses Enter. */
  async enter(text: string): Promise<void> {
    await this.#tmux("send-keys", "-l", text);
    await this.keys("Enter");
  }

  /** Presses keys, by tmux's names: `C-c`, `Enter`. */
  async keys(...names: string[]): Promise<void> {
    await this.#tmux("send-keys", ...names);
  }

  /** Empties it. There must be a plain shell at its prompt. */
  async clear(): Promise<void> {
    await this.enter("clear");
    await until(
      "it is empty",
      async () => /^\$ \s*$/.test(await this.#tmux("capture-pane", "-p", "-N")),
    );
    await this.#tmux("clear-history");
  }

  /** Changes the size. */
  async resize(columns: number, rows: number): Promise<void> {
    await this.#tmux("resize-window", "-x", String(columns), "-y", String(rows));
  }

  /** What can be read on it, with what has been scrolled away; a cursor that waits behind a blank keeps the blank. */
  async text(): Promise<string> {
    const lines = await this.#tmux("capture-pane", "-p", "-J", "-S", "-500");
    return lines.split("\n").map((line) => line.replace(/^([$#>] | .*[$#>] |.*[$#>] ) *$/, "$1"))
      .map((line) => /[$#>] $/.test(line) ? line : line.trimEnd()).join("\n");
  }

  /** Waits until a text appears; the match. */
  async wait(pattern: RegExp): Promise<RegExpExecArray> {
    let last = "";
    try {
      return await until(`${pattern}`, async () => {
        last = await this.text();
        return pattern.exec(last) ?? undefined;
      });
    } catch (cause) {
      throw new Error(`not on the terminal: ${pattern}\n${last}`, { cause });
    }
  }

  /** Closes the window: what runs in it gets SIGHUP. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#tmux("kill-server");
  }

  async #tmux(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.world.start(["tmux", "-S", this.#socket, ...args])
      .ended;
    if (code !== 0) throw new Error(`tmux ${args.join(" ")}: ${stderr}`);
    return stdout;
  }
}
