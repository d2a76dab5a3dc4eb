/**
 * The only place where belay opens a library. Each synchronous symbol costs 0.1-0.2 ms at start-up, so there are
 * few, and each is bound at its first use.
 *
 * @module
 */

const SYSCALL = {
  parameters: ["i64", "i64", "i64", "i64", "i64", "i64", "i64"],
  result: "i64",
} as const;

function open() {
  const { symbols } = Deno.dlopen("libc.so.6", {
    syscall: SYSCALL,
    __errno_location: { parameters: [], result: "pointer" },
  });
  const location = symbols.__errno_location();
  if (location === null) throw new Error("__errno_location gave no address");
  // One OS thread for the life of this module instance (a Worker has its own), so one address.
  const errno = new DataView(new Deno.UnsafePointerView(location).getArrayBuffer(4));
  return { syscall: symbols.syscall, errno };
}

let libc: ReturnType<typeof open> | undefined;

/** The arguments of a system call: integers. */
export type Registers = [
  number | bigint,
  number | bigint,
  number | bigint,
  number | bigint,
  number | bigint,
  number | bigint,
];

/** What a system call returned: its result, or the error number negated (-4095..-1), as the kernel itself says it. */
export function syscall(number: number, registers: Readonly<Registers>): number {
  libc ??= open();
  const r = registers;
  const result = libc.syscall(
    BigInt(number),
    BigInt(r[0]),
    BigInt(r[1]),
    BigInt(r[2]),
    BigInt(r[3]),
    BigInt(r[4]),
    BigInt(r[5]),
  );
  return result === -1n ? -libc.errno.getInt32(0, true) : Number(result);
}

function openWaiting() {
  return Deno.dlopen("libc.so.6", { syscall: { ...SYSCALL, nonblocking: true } }).symbols.syscall;
}

let waiting: ReturnType<typeof openWaiting> | undefined;

/**
 * A system call on a thread of the blocking pool, for one that waits: it keeps the event loop alive until it returns.
 * Its error number is that of another thread and cannot be read here: -1 is all that a failure says.
 */
export async function syscallElsewhere(
  number: number,
  ...args: readonly bigint[]
): Promise<number> {
  waiting ??= openWaiting();
  const [a = 0n, b = 0n, c = 0n, d = 0n, e = 0n, f = 0n] = args;
  return Number(await waiting(BigInt(number), a, b, c, d, e, f));
}

function openSpawn() {
  return Deno.dlopen("libc.so.6", {
    posix_spawn: {
      parameters: ["i64", "i64", "i64", "i64", "i64", "i64"],
      result: "i32",
    },
    posix_spawn_file_actions_adddup2: { parameters: ["i64", "i32", "i32"], result: "i32" },
  }).symbols;
}

let spawning: ReturnType<typeof openSpawn> | undefined;

/**
 * posix_spawn(3): 0, or an error number. Arguments are addresses.
 * @param actions A zeroed `posix_spawn_file_actions_t` (which is what its init function makes).
 * @param from,to The descriptor that the child gets as `to`.
 */
export function posixSpawn(
  pid: number | bigint,
  path: number | bigint,
  actions: number | bigint,
  attributes: number | bigint,
  argv: number | bigint,
  envp: number | bigint,
  from: number,
  to: number,
): number {
  spawning ??= openSpawn();
  return spawning.posix_spawn_file_actions_adddup2(BigInt(actions), from, to) ||
    spawning.posix_spawn(
      BigInt(pid),
      BigInt(path),
      BigInt(actions),
      BigInt(attributes),
      BigInt(argv),
      BigInt(envp),
    );
}

function openInterrupting() {
  return Deno.dlopen("libc.so.6", { siginterrupt: { parameters: ["i32", "i32"], result: "i32" } })
    .symbols.siginterrupt;
}

let interrupting: ReturnType<typeof openInterrupting> | undefined;

/**
 * Does something while a signal, which is ignored at other times, interrupts the system call that a thread is in
 * (EINTR): Deno's own handler stands there meanwhile, siginterrupt(3) takes SA_RESTART away from it.
 */
export function interruptBySignal(name: Deno.Signal, signal: number, work: () => void): void {
  const ignore = () => {};
  Deno.addSignalListener(name, ignore);
  try {
    interrupting ??= openInterrupting();
    if (interrupting(signal, 1) !== 0) throw new Error(`siginterrupt(${name}) failed`);
    work();
  } finally {
    Deno.removeSignalListener(name, ignore);
  }
}

/** The address of memory, which must be reachable for as long as anybody uses it. */
export function addressOf(buffer: ArrayBuffer | SharedArrayBuffer): bigint {
  const pointer = Deno.UnsafePointer.of(new Uint8Array(buffer));
  if (pointer === null) throw new Error("an empty buffer has no address");
  return Deno.UnsafePointer.value(pointer);
}

/** Memory that mmap(2) gave, which must stay mapped for as long as anybody uses it. */
export function memoryAt(address: bigint, size: number): ArrayBuffer {
  const pointer = Deno.UnsafePointer.create(address);
  if (pointer === null) throw new Error("no memory is at address 0");
  return new Deno.UnsafePointerView(pointer).getArrayBuffer(size);
}
