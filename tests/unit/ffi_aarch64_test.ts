// The aarch64 stub, executed under qemu: the same protocol, driven by hand.
import { assert, assertEquals } from "@std/assert";
import { attempt, type Call, Loaded, Place } from "../../ffi/call.ts";
import { addressOf } from "../../ffi/libc.ts";
import { Pidfd } from "../../ffi/pidfd.ts";
import { RequestBuffer } from "../../ffi/request.ts";
import { stubElf } from "../../ffi/stub_image.ts";
import { close, dup3, memfd_create, openat, pipe2, read, write } from "../../ffi/syscalls/file.ts";
import { execve, exit_group, getpid } from "../../ffi/syscalls/process.ts";
import { recvfrom, sendto, SOCK, socketpair } from "../../ffi/syscalls/socket.ts";
import { NEXT_ADOPT } from "../../ffi/stub/protocol.ts";
import { noProgram, testUnless } from "../skip.ts";
import { host, thread } from "../ffi_world.ts";

const QEMU = "qemu-aarch64-static";
const noQemu = noProgram(QEMU, "qemu-user-static");

/** A conversation with an aarch64 stub. */
class Foreign implements Disposable {
  readonly pidfd: Pidfd;
  readonly #buffer = new RequestBuffer();
  readonly #socket: number;
  readonly #dir = Deno.makeTempDirSync();

  constructor() {
    Deno.writeFileSync(`${this.#dir}/stub`, stubElf("aarch64"), { mode: 0o755 });
    const [mine, its] = thread.call(socketpair(SOCK.SOCK_SEQPACKET));
    this.#socket = mine;
    // A stub of ours becomes qemu, with the other end as its descriptor 3.
    const native = host.spawn("qemu");
    this.pidfd = native.pidfd;
    const [there = -1] = native.give([its]);
    thread.call(close(its));
    const path = (Deno.env.get("PATH") ?? "").split(":").map((each) => `${each}/${QEMU}`);
    const found = path.find((each) => {
      try {
        return Deno.statSync(each).isFile;
      } catch {
        return false; // not in this directory
      }
    });
    native.exec([dup3(there, 3), execve(found ?? QEMU, [QEMU, `${this.#dir}/stub`], [])]);
  }

  /** Sends a batch without waiting for its answer. */
  send(calls: readonly Call<unknown>[]): void {
    const { length } = this.#buffer.write(calls, "aarch64");
    thread.call(sendto(this.#socket, addressOf(this.#buffer.arena.buffer), length));
  }

  /** The raw results of a batch. */
  batch(calls: readonly Call<unknown>[]): number[] {
    this.send(calls);
    assert(this.receive() > 0, "the stub ended");
    this.#buffer.collect();
    return calls.map((_, index) => this.#buffer.read(index));
  }

  /** Bytes of the next answer. */
  receive(): number {
    const { buffer, bytes } = this.#buffer.arena;
    return thread.call(recvfrom(this.#socket, addressOf(buffer), bytes.length));
  }

  [Symbol.dispose](): void {
    thread.call(close(this.#socket));
    this.pidfd.reap();
    this.pidfd[Symbol.dispose]();
    Deno.removeSync(this.#dir, { recursive: true });
  }
}

testUnless(noQemu, "stub serves calls when it is the aarch64 one", () => {
  using stub = new Foreign();
  assertEquals(stub.batch([getpid()]), [stub.pidfd.pid]);
  const memfd = memfd_create("test", 1);
  const [fd, written] = stub.batch([memfd, write(memfd, "from aarch64")]);
  assertEquals(written, 12);
  assertEquals(Deno.readTextFileSync(`/proc/${stub.pidfd.pid}/fd/${fd}`), "from aarch64");
});

testUnless(
  noQemu,
  "stub brings out-buffers and loaded arguments when it is the aarch64 one",
  () => {
    using stub = new Foreign();
    const first = pipe2();
    const calls = [first, attempt(close(999))] as const;
    assertEquals(stub.batch(calls), [0, -9]);
    const { reader, writer } = first.decode(0);
    const reading = read(reader, 16);
    assertEquals(stub.batch([write(writer, "abc"), reading]), [3, 3]);
    assertEquals(new TextDecoder().decode(reading.decode(3)), "abc");
    // A descriptor that an earlier call wrote into memory: eight bytes of a pipe, read back as a number.
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, BigInt(writer), true);
    const into = read(reader, 8);
    const memory = into.args[1];
    assert(memory !== undefined && typeof memory === "object" && "fields" in memory);
    const last = write(new Loaded(new Place(memory, 0)), "x");
    assertEquals(stub.batch([write(writer, bytes), into, last]), [8, 8, 1]);
  },
);

testUnless(noQemu, "stub stops or carries on as it is told when it is the aarch64 one", () => {
  using stub = new Foreign();
  const open = openat(-100, "/nonexistent", 0);
  assertEquals(stub.batch([attempt(close(999)), getpid()]), [-9, stub.pidfd.pid]);
  const [failed, untouched] = stub.batch([open, getpid()]);
  assertEquals(failed, -2);
  assertEquals(untouched, 172); // the number of getpid, and how = 0: it was not made
});

testUnless(
  noQemu,
  "stub serves the descriptor that a call returns when it is the aarch64 one",
  () => {
    using stub = new Foreign();
    // dup3's result is adopted: the same socket under another number, and descriptor 3 may go.
    const adopted = dup3(3, 20);
    adopted.next = NEXT_ADOPT;
    assertEquals(stub.batch([adopted, close(3)]), [20, 0]);
    assertEquals(stub.batch([getpid()]), [stub.pidfd.pid]);
  },
);

testUnless(
  noQemu,
  "stub answers at another descriptor when it is the aarch64 one and a call gave 0",
  () => {
    using stub = new Foreign();
    const moves = close(21); // as the child of clone3 does, in which the call gives 0
    moves.next = 20n;
    const untouched = getpid();
    assertEquals(stub.batch([dup3(3, 20), dup3(3, 21), moves, untouched]), [20, 21, 0, 172]);
    assertEquals(stub.batch([close(3), getpid()]), [0, stub.pidfd.pid]);
  },
);

testUnless(noQemu, "stub ends when it is the aarch64 one and is told to, or let go", () => {
  using told = new Foreign();
  told.send([exit_group(5)]);
  assertEquals(told.receive(), 0);
  using letGo = new Foreign();
  assertEquals(letGo.batch([getpid()]).length, 1);
});
