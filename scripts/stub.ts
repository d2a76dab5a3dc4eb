/**
 * Assembles the stub and the signal handler for both architectures with binutils and writes the bytes beside the
 * sources, as TypeScript (`ffi/stub/bytes.ts`, `ffi/signal_relay/bytes.ts`). `--check` writes nothing and fails when the
 * committed bytes differ.
 *
 * Usage: deno run -A scripts/stub.ts [--check]
 */
import { DISTANCE, RESTORER } from "../ffi/signal_relay/layout.ts";
import { STUB_BUFFER_SIZE } from "../ffi/stub/protocol.ts";

/** What assembles and links for one architecture; Debian's package that has it. */
interface Toolchain {
  readonly arch: "x86_64" | "aarch64";
  readonly prefixes: readonly string[];
  readonly apt: string;
}

const TOOLCHAINS: readonly Toolchain[] = [
  { arch: "x86_64", prefixes: ["x86_64-linux-gnu-", ""], apt: "binutils" },
  { arch: "aarch64", prefixes: ["aarch64-linux-gnu-", ""], apt: "binutils-aarch64-linux-gnu" },
];

const stubDir = new URL("../ffi/stub/", import.meta.url).pathname;
const relayDir = new URL("../ffi/signal_relay/", import.meta.url).pathname;

/** The program of that name for an architecture, or undefined where it is not installed. */
export function assembler(arch: "x86_64" | "aarch64"): string | undefined {
  const chain = TOOLCHAINS.find((each) => each.arch === arch);
  for (const prefix of chain?.prefixes ?? []) {
    if (prefix === "" && Deno.build.arch !== arch) continue;
    try {
      if (
        new Deno.Command(`${prefix}as`, { args: ["--version"], stdout: "null" }).outputSync()
          .success
      ) {
        return prefix;
      }
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error; // not installed: try the next prefix
    }
  }
  return undefined;
}

function run(program: string, args: string[]): void {
  const { success, stderr } = new Deno.Command(program, { args, stderr: "piped" }).outputSync();
  if (!success) {
    throw new Error(`${program} ${args.join(" ")}: ${new TextDecoder().decode(stderr)}`);
  }
}

/** Assembles and links one stub; the ELF file's bytes. @throws Error when binutils refuse the source. */
export function assemble(arch: "x86_64" | "aarch64", prefix: string): Uint8Array {
  const elf = build(prefix, `${stubDir}${arch}.S`, { BUFSZ: STUB_BUFFER_SIZE }, [
    ...["-static", "-nostdlib", "-n", "-s", "--build-id=none", "-z", "noexecstack"],
    ...["-T", `${stubDir}link.ld`],
  ]);
  return withoutSections(elf);
}

/** Assembles one signal handler; its code alone. @throws Error when binutils refuse the source. */
export function assembleRelay(arch: "x86_64" | "aarch64", prefix: string): Uint8Array {
  return build(prefix, `${relayDir}${arch}.S`, { DISTANCE, RESTORER }, [
    ...["-static", "-nostdlib", "--build-id=none", "-Ttext=0", "-e", "0"],
  ], ["-O", "binary", "-j", ".text"]);
}

function build(
  prefix: string,
  source: string,
  symbols: Readonly<Record<string, number>>,
  linking: readonly string[],
  extracting: readonly string[] = [],
): Uint8Array {
  const dir = Deno.makeTempDirSync({ prefix: "belay-stub-" });
  try {
    const defined = Object.entries(symbols).flatMap(([name, value]) => [
      "--defsym",
      `${name}=${value}`,
    ]);
    run(`${prefix}as`, [...defined, "-o", `${dir}/o`, source]);
    run(`${prefix}ld`, [...linking, "-o", `${dir}/linked`, `${dir}/o`]);
    if (extracting.length > 0) run(`${prefix}objcopy`, [...extracting, `${dir}/linked`]);
    return Deno.readFileSync(`${dir}/linked`);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
}

/** Cuts the section headers off: the kernel loads by program headers alone, and they are half of the file. */
function withoutSections(elf: Uint8Array): Uint8Array {
  const view = new DataView(elf.buffer, elf.byteOffset, elf.byteLength);
  let end = 64;
  const headers = Number(view.getBigUint64(32, true));
  for (let i = 0; i < view.getUint16(56, true); i++) {
    const at = headers + i * view.getUint16(54, true);
    const fileEnd = Number(view.getBigUint64(at + 8, true) + view.getBigUint64(at + 32, true));
    if (view.getUint32(at, true) === 1) end = Math.max(end, fileEnd, at + view.getUint16(54, true));
  }
  view.setBigUint64(40, 0n, true); // e_shoff
  view.setUint16(60, 0, true); // e_shnum
  view.setUint16(62, 0, true); // e_shstrndx
  return elf.slice(0, end);
}

/** In hexadecimal: Deno would load the code of `atob` for base64, which takes longer than all of this. */
function hexLines(bytes: Uint8Array): string {
  const text = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return (text.match(/.{1,92}/g) ?? []).map((line) => `    "${line}"`).join(" +\n");
}

/** A file of bytes for each architecture, and what must stand in it. */
const MADE = [
  {
    path: `${stubDir}bytes.ts`,
    from: "x86_64.S, aarch64.S and link.ld",
    name: "STUB_ELF",
    what: "The stub's ELF executable",
    make: assemble,
  },
  {
    path: `${relayDir}bytes.ts`,
    from: "x86_64.S and aarch64.S",
    name: "SIGNAL_RELAY",
    what: "The signal handler's code",
    make: assembleRelay,
  },
];

if (import.meta.main) {
  const check = Deno.args.includes("--check");
  for (const { path, from, name, what, make } of MADE) {
    const parts: string[] = [];
    for (const { arch, apt } of TOOLCHAINS) {
      const prefix = assembler(arch);
      if (prefix === undefined) {
        console.error(`no assembler for ${arch}: apt-get install ${apt}`);
        Deno.exit(1);
      }
      const bytes = make(arch, prefix);
      parts.push(`  // ${bytes.length} bytes\n  ${arch}:\n${hexLines(bytes)},\n`);
    }
    const text = `// Made by scripts/stub.ts from ${from}: do not edit.\n\n` +
      `/** ${what} for each architecture, in hexadecimal. */\n` +
      `export const ${name}: Readonly<Record<"x86_64" | "aarch64", string>> = {\n${
        parts.join("")
      }};\n`;
    if (!check) Deno.writeTextFileSync(path, text);
    else if (Deno.readTextFileSync(path) !== text) {
      console.error(`${path} is not what the sources give: run \`deno run -A scripts/stub.ts\``);
      Deno.exit(1);
    }
  }
}
