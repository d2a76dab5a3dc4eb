// Programs that make one system call, exactly as told, and say how it went: for tests of filters, in which the calls
// of a shell would be in the way.
import type { Obstacle } from "../skip.ts";

/** The numbers of x86_64 (asm/unistd_64.h) that the tests use. */
export const NR = {
  lseek: 8,
  pread64: 17,
  getpid: 39,
  execve: 59,
  mkdir: 83,
  chmod: 90,
  personality: 135,
  /** Newer than all that a profile of these tests names. */
  mseal: 462,
} as const;

/** How a program makes its call. */
export type Abi = "x86_64" | "i386";

/** For tests whose programs are made of x86_64's instructions. */
export function notX86(): Obstacle {
  return Deno.build.arch === "x86_64" ? undefined : "the test's programs are for x86_64";
}

const BASE = 0x400000n;
const HEADERS = 64 + 56;
/** Loads of 64-bit numbers (REX.W B8+r): the call's number, and six arguments, by calling convention. */
const REGISTERS: Record<Abi, readonly (readonly [number, number])[]> = {
  x86_64: [[0x48, 0xb8], [0x48, 0xbf], [0x48, 0xbe], [0x48, 0xba], [0x49, 0xba], [0x49, 0xb8], [
    0x49,
    0xb9,
  ]],
  i386: [[0x48, 0xb8], [0x48, 0xbb], [0x48, 0xb9], [0x48, 0xba], [0x48, 0xbe], [0x48, 0xbf], [
    0x48,
    0xbd,
  ]],
};
const SYSCALL = [0x0f, 0x05];
const INT_80 = [0xcd, 0x80];
// edi = -eax, or 0 when eax is no error; exit_group(edi)
const EXIT = [0x89, 0xc7, 0xf7, 0xdf, 0x85, 0xc0, 0x78, 0x02, 0x31, 0xff, 0xb8, 231, 0, 0, 0];

/**
 * A static executable for x86_64 that makes one call and exits with 0, or with the error number.
 * @param args Numbers; texts become pointers to C strings.
 */
export function rawSyscall(
  nr: number,
  args: readonly (number | bigint | string)[] = [],
  abi: Abi = "x86_64",
): Uint8Array {
  const texts = args.map((arg) =>
    typeof arg === "string" ? new TextEncoder().encode(`${arg}\0`) : undefined
  );
  const loads = REGISTERS[abi].length * 10;
  const length = loads + 2 + EXIT.length + SYSCALL.length;
  let data = BASE + BigInt(HEADERS + length);
  const values = args.map((arg, i) => {
    if (typeof arg !== "string") return BigInt(arg);
    const at = data;
    data += BigInt(texts[i]?.length ?? 0);
    return at;
  });
  const bytes: number[] = [];
  REGISTERS[abi].forEach((opcode, i) => {
    const value = new DataView(new ArrayBuffer(8));
    value.setBigUint64(0, BigInt.asUintN(64, i === 0 ? BigInt(nr) : values[i - 1] ?? 0n), true);
    bytes.push(...opcode, ...new Uint8Array(value.buffer));
  });
  bytes.push(...(abi === "i386" ? INT_80 : SYSCALL), ...EXIT, ...SYSCALL);
  for (const text of texts) bytes.push(...text ?? []);
  return elf(new Uint8Array(bytes));
}

/** An ELF file of one segment (elf.h). */
function elf(code: Uint8Array): Uint8Array {
  const file = new Uint8Array(HEADERS + code.length);
  const view = new DataView(file.buffer);
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(16, 2, true); // ET_EXEC
  view.setUint16(18, 62, true); // EM_X86_64
  view.setUint32(20, 1, true);
  view.setBigUint64(24, BASE + BigInt(HEADERS), true);
  view.setBigUint64(32, 64n, true); // program headers
  view.setUint16(52, 64, true);
  view.setUint16(54, 56, true);
  view.setUint16(56, 1, true);
  view.setUint32(64, 1, true); // PT_LOAD
  view.setUint32(68, 5, true); // readable, executable
  view.setBigUint64(80, BASE, true);
  view.setBigUint64(88, BASE, true);
  view.setBigUint64(96, BigInt(file.length), true);
  view.setBigUint64(104, BigInt(file.length), true);
  view.setBigUint64(112, 0x1000n, true);
  file.set(code, HEADERS);
  return file;
}
