/** Colours and weights, by their SGR numbers (ECMA-48 8.3.117). */
const STYLES = {
  bold: 1,
  dim: 2,
  red: 31,
  green: 32,
  yellow: 33,
  blue: 34,
  cyan: 36,
} as const;

/** A way to print text. */
export type Style = keyof typeof STYLES;

const MOST_COLUMNS = 92;
const LEAST_COLUMNS = 50;

/** One cell of a table: text, or text in a style. */
export type Cell = string | readonly [text: string, ...styles: Style[]];

/**
 * What the demo prints, and how: with colours on a terminal, without a single escape code elsewhere
 * or when NO_COLOR is set (no-color.org).
 */
export class Screen {
  readonly #colours: boolean;
  readonly #columns: number;
  #chapter = 0;

  constructor() {
    const terminal = Deno.stdout.isTerminal();
    const wanted = !Deno.env.get("NO_COLOR") && Deno.env.get("TERM") !== "dumb";
    this.#colours = terminal && wanted;
    const columns = terminal ? Deno.consoleSize().columns : MOST_COLUMNS;
    // A terminal that does not know its size says 0.
    const known = columns === 0 ? 80 : columns;
    this.#columns = Math.max(LEAST_COLUMNS, Math.min(known, MOST_COLUMNS));
  }

  /** The text in styles, or as it is. */
  paint(text: string, ...styles: readonly Style[]): string {
    if (!this.#colours || styles.length === 0) return text;
    return `\x1b[${styles.map((style) => STYLES[style]).join(";")}m${text}\x1b[0m`;
  }

  /** Begins a chapter. */
  chapter(title: string): void {
    this.#chapter++;
    const head = ` ${this.#chapter}  ${title} `;
    const line = "─".repeat(Math.max(0, this.#columns - head.length - 2));
    this.line();
    this.line(
      this.paint("──", "blue") + this.paint(head, "bold", "blue") + this.paint(line, "blue"),
    );
  }

  /** Prose, wrapped. */
  say(text: string): void {
    for (const line of wrap(text, this.#columns - 2)) this.line(`  ${line}`);
  }

  /** One line as it is. */
  line(text = ""): void {
    console.log(text);
  }

  /** A command line, as a person would type it. */
  command(text: string, note = ""): void {
    const room = this.#columns - 4 - text.length;
    const right = note.length < room ? note.padStart(room) : `  ${note}`;
    this.line(
      `  ${this.paint("$", "dim")} ${this.paint(text, "bold", "cyan")}${this.paint(right, "dim")}`,
    );
  }

  /** Begins something long; elsewhere than on a terminal its title is all that is said. */
  begin(title: string): void {
    if (this.#colours) this.progress(title, 0);
    else this.line(`  · ${title}`);
  }

  /** How much of it is done, from 0 to 1. */
  progress(title: string, done: number): void {
    if (!this.#colours) return;
    const width = 20;
    const full = "━".repeat(Math.round(done * width));
    const bar = this.paint(full, "cyan") + this.paint("━".repeat(width - full.length), "dim");
    Deno.stdout.writeSync(new TextEncoder().encode(`\r\x1b[K  ${bar}  ${title}`));
  }

  /** It is done: the bar becomes a line. */
  end(title: string): void {
    if (this.#colours) Deno.stdout.writeSync(new TextEncoder().encode(`\r\x1b[K  · ${title}\n`));
  }

  /** What a command printed; long lines go on in the next. */
  output(text: string, ...styles: readonly Style[]): void {
    if (text === "") return;
    const pieces = new RegExp(`.{1,${this.#columns - 4}}|^$`, "g");
    for (const line of text.trimEnd().split("\n").flatMap((each) => each.match(pieces) ?? [])) {
      this.line(`  ${this.paint("│", "dim")} ${this.paint(line, ...styles)}`);
    }
  }

  /** Columns, each as wide as its widest cell; numbers to the right. */
  table(rows: readonly (readonly Cell[])[]): void {
    const widths: number[] = [];
    for (const row of rows) {
      row.forEach((cell, i) => {
        widths[i] = Math.max(widths[i] ?? 0, textOf(cell).length);
      });
    }
    for (const row of rows) {
      const cells = row.map((cell, i) => {
        const text = textOf(cell);
        const padding = " ".repeat((widths[i] ?? 0) - text.length);
        const painted = typeof cell === "string" ? text : this.paint(text, ...stylesOf(cell));
        return /^[+-]?[\d.,]+( ms| kB)?$/.test(text) ? padding + painted : painted + padding;
      });
      this.line(`  ${cells.join("   ")}`.trimEnd());
    }
  }

  /** Something that was checked just now. */
  verdict(good: boolean, text: string): void {
    const sign = good ? this.paint("✓", "bold", "green") : this.paint("✗", "bold", "red");
    const [first = "", ...more] = wrap(text, this.#columns - 4);
    this.line(`  ${sign} ${first}`);
    for (const line of more) this.line(`    ${line}`);
  }
}

function textOf(cell: Cell): string {
  return typeof cell === "string" ? cell : cell[0];
}

function stylesOf([, ...styles]: readonly [string, ...Style[]]): Style[] {
  return styles;
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(/\s+/)) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line];
}
