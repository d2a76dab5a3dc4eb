import { SCMP_ACT } from "../../ffi/libseccomp.ts";
import { ERRNO } from "../../ffi/abi/errno.ts";
import { SOCK_FILTER_SIZE } from "../../ffi/syscalls/seccomp.ts";
import { BPF_OP } from "./run_filter.ts";

/** How far an architecture's system calls are known to a profile. */
export interface Known {
  /** AUDIT_ARCH_*. */
  readonly arch: number;
  /** The largest number that the profile names. */
  readonly largest: number;
  /** The same for x32, whose calls come with x86_64's architecture and this bit. */
  readonly largestX32?: number;
}

/** linux/audit.h. */
const AUDIT_ARCH_X86_64 = 0xc000003e;
/** What marks the calls of x32 (asm/unistd.h). */
const X32_BIT = 0x40000000;

/** Offsets in struct seccomp_data. */
const NR = 0;
const ARCH = 4;

const ENOSYS = SCMP_ACT.SCMP_ACT_ERRNO | ERRNO.ENOSYS;

type Instruction = readonly [op: number, k: number, ifTrue?: number, ifFalse?: number];

/**
 * Instructions in front of a filter that answer ENOSYS to system calls newer than all that the profile knows. runc
 * has the same: a C library tries a new call first and takes an older one when it hears ENOSYS, but not when it hears
 * the EPERM that a profile has for everything that it does not name (docs/decisions/, "Seccomp").
 */
export function enosysHead(known: readonly Known[]): Uint8Array {
  const sections = known.map(section);
  const code: Instruction[] = [[BPF_OP.LD_W_ABS, ARCH]];
  // Behind the tests of the architecture: a jump to the filter, the sections, and what all of them share.
  let ahead = known.length;
  sections.forEach((lines, i) => {
    code.push([BPF_OP.JMP_JEQ_K, known[i]?.arch ?? 0, ahead - i, 0]);
    ahead += lines.length;
  });
  const rest = sections.reduce((sum, lines) => sum + lines.length, 0);
  code.push([BPF_OP.JMP_JA, rest + 1]);
  let left = rest;
  for (const lines of sections) {
    for (const line of lines) {
      left--;
      // `left` instructions are between this one and the one that answers ENOSYS; the filter is behind that.
      code.push(line === "filter" ? [BPF_OP.JMP_JA, left + 1] : line(left));
    }
  }
  code.push([BPF_OP.RET_K, ENOSYS]);
  return encode(code);
}

/** A line that jumps to the answer, or "filter": on to the filter. */
type Line = "filter" | ((left: number) => Instruction);

function section({ arch, largest, largestX32 }: Known): Line[] {
  const load: Line = () => [BPF_OP.LD_W_ABS, NR];
  const newer = (number: number): Line => (left) => [BPF_OP.JMP_JGT_K, number, left, 0];
  if (arch !== AUDIT_ARCH_X86_64) return [load, newer(largest), "filter"];
  return [
    load,
    () => [BPF_OP.JMP_JGE_K, X32_BIT, 2, 0],
    ...[newer(largest), "filter"] as const,
    // Where the profile is not for x32, the filter says what happens to it.
    ...(largestX32 === undefined ? [] : [newer(largestX32)]),
    "filter",
  ];
}

function encode(code: readonly Instruction[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(code.length * SOCK_FILTER_SIZE));
  code.forEach(([op, k, ifTrue = 0, ifFalse = 0], i) => {
    const at = i * SOCK_FILTER_SIZE;
    view.setUint16(at, op, true);
    view.setUint8(at + 2, ifTrue);
    view.setUint8(at + 3, ifFalse);
    view.setUint32(at + 4, k, true);
  });
  return new Uint8Array(view.buffer);
}
