/**
 * libseccomp (seccomp.h, 2.4 or newer): it knows the numbers of system calls on every architecture, and compiles
 * rules into a program of classic BPF. The library is opened when a filter is made, and never otherwise; so this is
 * a file of its own beside `libc.ts`, which every command loads.
 *
 * What libseccomp does it does in this process: it reads nothing but what it is given, and probes with seccomp(2)
 * which actions the kernel knows.
 *
 * @module
 */
import { addressOf } from "./libc.ts";
import { Thread } from "./thread.ts";
import { close, lseek, memfd_create, read } from "./syscalls/file.ts";
import { ERRNO, errnoName } from "./abi/errno.ts";
import { MFD } from "./abi/file_flags.ts";

/** The name of the library as the dynamic linker looks for it. */
export const LIBSECCOMP = "libseccomp.so.2";

/** What a filter does with a system call: the kernel's SECCOMP_RET_* value, which libseccomp takes as it is. */
export const SCMP_ACT = {
  SCMP_ACT_KILL: 0,
  SCMP_ACT_KILL_THREAD: 0,
  SCMP_ACT_KILL_PROCESS: 0x80000000,
  SCMP_ACT_TRAP: 0x00030000,
  /** With an error number in the low 16 bits. */
  SCMP_ACT_ERRNO: 0x00050000,
  SCMP_ACT_NOTIFY: 0x7fc00000,
  /** With a number for the tracer in the low 16 bits. */
  SCMP_ACT_TRACE: 0x7ff00000,
  SCMP_ACT_LOG: 0x7ffc0000,
  SCMP_ACT_ALLOW: 0x7fff0000,
} as const;

/** How an argument of a system call is compared (enum scmp_compare). */
export const SCMP_CMP = {
  SCMP_CMP_NE: 1,
  SCMP_CMP_LT: 2,
  SCMP_CMP_LE: 3,
  SCMP_CMP_EQ: 4,
  SCMP_CMP_GE: 5,
  SCMP_CMP_GT: 6,
  /** (argument & value) equals valueTwo. */
  SCMP_CMP_MASKED_EQ: 7,
} as const;

/** struct scmp_arg_cmp, of 24 bytes. */
export interface Comparison {
  /** Which argument, 0 to 5. */
  readonly index: number;
  readonly op: number;
  readonly value: bigint;
  readonly valueTwo: bigint;
}

const COMPARISON = { size: 24, index: 0, op: 4, value: 8, valueTwo: 16 } as const;
/** __NR_SCMP_ERROR: no architecture has a call of that name. */
const NR_SCMP_ERROR = -1;
/** enum scmp_filter_attr: 2 makes a binary tree of the system calls instead of a list. */
const SCMP_FLTATR_CTL_OPTIMIZE = 8;
const BINARY_TREE = 2;
/** Bytes: more than a program that the kernel takes may have. */
const LARGEST_PROGRAM = 0x10000;

function open() {
  return Deno.dlopen(LIBSECCOMP, {
    seccomp_version: { parameters: [], result: "pointer" },
    seccomp_arch_resolve_name: { parameters: ["i64"], result: "u32" },
    seccomp_syscall_resolve_name_arch: { parameters: ["u32", "i64"], result: "i32" },
    seccomp_init: { parameters: ["u32"], result: "i64" },
    seccomp_release: { parameters: ["i64"], result: "void" },
    seccomp_arch_add: { parameters: ["i64", "u32"], result: "i32" },
    seccomp_attr_set: { parameters: ["i64", "u32", "u32"], result: "i32" },
    seccomp_rule_add_array: { parameters: ["i64", "u32", "i32", "u32", "i64"], result: "i32" },
    seccomp_export_bpf: { parameters: ["i64", "i32"], result: "i32" },
  }).symbols;
}

let library: ReturnType<typeof open> | undefined;
let scratch: { bytes: Uint8Array; view: DataView; address: bigint } | undefined;

const encoder = new TextEncoder();

/** Memory for one name or one set of comparisons. */
function memory(): NonNullable<typeof scratch> {
  if (scratch === undefined) {
    const buffer = new ArrayBuffer(0x1000);
    const [bytes, view] = [new Uint8Array(buffer), new DataView(buffer)];
    scratch = { bytes, view, address: addressOf(buffer) };
  }
  return scratch;
}

/** The address of a name as a C string, until the next one is asked for. */
function cString(text: string): bigint {
  const { bytes, address } = memory();
  const { written } = encoder.encodeInto(text, bytes.subarray(0, bytes.length - 1));
  bytes[written] = 0;
  return address;
}

/** The library's version: `2.5.4`. @throws Error when there is no libseccomp. */
export function libseccompVersion(): string {
  library ??= open();
  const version = library.seccomp_version();
  if (version === null) throw new Error("libseccomp gives no version");
  const numbers = new DataView(new Deno.UnsafePointerView(version).getArrayBuffer(12));
  return [0, 4, 8].map((at) => numbers.getUint32(at, true)).join(".");
}

/** The token of an architecture by libseccomp's name (`x86_64`, `x32`, `aarch64`); 0 when it does not know it. */
export function resolveArch(name: string): number {
  library ??= open();
  return library.seccomp_arch_resolve_name(cString(name));
}

/**
 * The number of a system call on an architecture, negative where that architecture does not have it but another
 * one; undefined for a name that nobody has.
 * @param arch A token; 0 is this machine's.
 */
export function resolveSyscall(name: string, arch: number): number | undefined {
  library ??= open();
  const number = library.seccomp_syscall_resolve_name_arch(arch, cString(name));
  return number === NR_SCMP_ERROR ? undefined : number;
}

/** libseccomp has refused something. */
export class LibseccompError extends Error {
  override readonly name = "LibseccompError";

  /** @param errno The error number. */
  constructor(readonly what: string, readonly errno: number) {
    super(`${what}: ${errnoName(errno)}`);
  }
}

/** A filter in the making. */
export class SeccompFilter implements Disposable {
  #context: bigint;
  readonly #library: ReturnType<typeof open>;

  /**
   * seccomp_init(3).
   * @param defaultAction What is done with calls that no rule is for.
   * @throws LibseccompError for an action that this kernel does not know.
   */
  constructor(defaultAction: number) {
    this.#library = library ??= open();
    this.#context = this.#library.seccomp_init(defaultAction);
    if (this.#context === 0n) throw new LibseccompError("seccomp_init", ERRNO.EINVAL);
  }

  /** seccomp_arch_add(3). This machine's is there from the beginning. */
  addArch(token: number): void {
    const result = this.#library.seccomp_arch_add(this.#context, token);
    if (result !== -ERRNO.EEXIST) this.#check("seccomp_arch_add", result);
  }

  /** Makes a tree of the system calls, for filters of many rules. A library that cannot makes a list. */
  preferTree(): void {
    this.#library.seccomp_attr_set(this.#context, SCMP_FLTATR_CTL_OPTIMIZE, BINARY_TREE);
  }

  /** seccomp_rule_add_array(3): an action for a system call whose arguments compare as said, all of them. */
  addRule(action: number, syscall: number, comparisons: readonly Comparison[]): void {
    const { view, address } = memory();
    comparisons.forEach(({ index, op, value, valueTwo }, i) => {
      const at = i * COMPARISON.size;
      view.setUint32(at + COMPARISON.index, index, true);
      view.setUint32(at + COMPARISON.op, op, true);
      view.setBigUint64(at + COMPARISON.value, value, true);
      view.setBigUint64(at + COMPARISON.valueTwo, valueTwo, true);
    });
    const result = this.#library.seccomp_rule_add_array(
      this.#context,
      action,
      syscall,
      comparisons.length,
      address,
    );
    this.#check("seccomp_rule_add_array", result);
  }

  /** seccomp_export_bpf(3): the program, whole `struct sock_filter`s. */
  export(): Uint8Array {
    const thread = new Thread();
    const fd = thread.call(memfd_create("belay-seccomp", MFD.MFD_CLOEXEC));
    try {
      this.#check("seccomp_export_bpf", this.#library.seccomp_export_bpf(this.#context, fd));
      const [, bytes] = thread.batch([lseek(fd, 0), read(fd, LARGEST_PROGRAM)]);
      return bytes;
    } finally {
      thread.call(close(fd));
    }
  }

  /** seccomp_release(3). Twice is harmless. */
  [Symbol.dispose](): void {
    if (this.#context !== 0n) this.#library.seccomp_release(this.#context);
    this.#context = 0n;
  }

  #check(what: string, result: number): void {
    if (result < 0) throw new LibseccompError(what, -result);
  }
}
