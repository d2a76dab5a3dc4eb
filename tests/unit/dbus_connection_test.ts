// The conversation with a bus, against one that answers from a script; nothing is sent anywhere.
import { assert, assertEquals, assertThrows } from "@std/assert";
import { Struct } from "../../ffi/call.ts";
import { DbusConnection, DbusError } from "../../ffi/dbus/connection.ts";
import { type DbusMessage, decodeDbus, encodeDbus, MESSAGE } from "../../ffi/dbus/message.ts";
import { type Asked, Recorder } from "../../ffi/recorder.ts";
import { generator } from "../random.ts";

const EAGAIN = 11;
const OK = new TextEncoder().encode("DATA\r\nOK 0123456789abcdef0123456789abcdef\r\n");
const METHOD = { destination: "a.b", path: "/", interface: "a.b.C", member: "Do" };

type Part = Uint8Array | number;

/** A bus that gives one part for each receive, an error by its number; undefined: it has hung up. */
function scripted(parts: readonly Part[]): { recorder: Recorder; sent: Uint8Array[] } {
  let next = 0;
  const sent: Uint8Array[] = [];
  const recorder = new Recorder(({ name, args }: Asked) => {
    if (name === "sendto") {
      const [, bytes] = args;
      assert(bytes instanceof Uint8Array);
      sent.push(bytes);
      return bytes.length;
    }
    if (name !== "recvfrom") return undefined;
    const given = parts[next++] ?? new Uint8Array(0);
    if (typeof given === "number") return -given;
    const [, data] = args;
    assert(data instanceof Struct);
    data.bytes = new Uint8Array(data.size);
    data.bytes.set(given);
    return given.length;
  });
  return { recorder, sent };
}

function open(parts: readonly Part[], timeoutMs?: number) {
  const { recorder, sent } = scripted(parts);
  return { bus: DbusConnection.open(recorder.thread, "unix:path=/bus", timeoutMs), sent, recorder };
}

function reply(serial: number, more: Partial<DbusMessage> = {}): Uint8Array {
  const message = { type: MESSAGE.RETURN, serial: 9, replySerial: serial, body: [], ...more };
  return encodeDbus(message);
}

function signal(member: string, word: string): Uint8Array {
  const from = { path: "/", interface: "a.b.C", member, signature: "s", body: [word] };
  return encodeDbus({ type: MESSAGE.SIGNAL, serial: 8, ...from });
}

function joined(...parts: Uint8Array[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

Deno.test("DbusConnection.open() says who it is and Hello", () => {
  const { bus, sent, recorder } = open([OK, reply(1)]);
  const text = (bytes: Uint8Array | undefined) => new TextDecoder().decode(bytes);
  assertEquals(text(sent[0]), "\0AUTH EXTERNAL\r\nDATA\r\n"); // the kernel knows who
  assertEquals(text(sent[1]), "BEGIN\r\n");
  assertEquals(decodeDbus(sent[2] ?? new Uint8Array()).member, "Hello");
  bus[Symbol.dispose]();
  bus[Symbol.dispose]();
  const names = recorder.calls.map(({ name }) => name);
  assertEquals(names.slice(0, 4), ["socket", "setsockopt", "setsockopt", "connect"]);
  assertEquals(names.filter((name) => name === "close").length, 1);
});

Deno.test("DbusConnection.call() finds its answer among signals and others' answers, in any parts", () => {
  const answer = reply(2, { signature: "s", body: ["yes"] });
  const stream = joined(signal("A", "x"), reply(77), answer, signal("B", "y"));
  for (const size of [1, 7, 64, stream.length]) {
    const parts: Uint8Array[] = [];
    for (let at = 0; at < stream.length; at += size) parts.push(stream.subarray(at, at + size));
    const { bus } = open([OK, reply(1), ...parts]);
    assertEquals(bus.call(METHOD), ["yes"]);
    // What came before the answer is not lost, nor what comes after it.
    assertEquals(bus.signal("A", 1000, ({ member }) => member === "A").body, ["x"]);
    assertEquals(bus.signal("B", 1000, ({ member }) => member === "B").body, ["y"]);
    bus[Symbol.dispose]();
  }
});

Deno.test("DbusConnection.call() tells errors by the bus, the method, and the service's name and words", () => {
  const told = { type: MESSAGE.ERROR, errorName: "a.b.No", signature: "s", body: ["not now"] };
  const { bus } = open([OK, reply(1), reply(2, told)]);
  const error = assertThrows(() => bus.call(METHOD), DbusError);
  assertEquals(error.message, "unix:path=/bus: a.b.C.Do: not now (a.b.No)");
  assertEquals(error.errorName, "a.b.No");
});

Deno.test("DbusConnection.call() does not wait for ever", () => {
  const silent = open([OK, reply(1), EAGAIN]).bus;
  assertThrows(() => silent.call(METHOD), DbusError, "a.b.C.Do: no answer in time");
  const gone = open([OK, reply(1)]).bus;
  assertThrows(() => gone.call(METHOD), DbusError, "a.b.C.Do: the bus hung up");
  // Signals without end, which nobody asked for.
  const flood = Array.from({ length: 2000 }, () => signal("A", "x"));
  const flooded = open([OK, reply(1), ...flood]).bus;
  assertThrows(() => flooded.call(METHOD), DbusError, "signals that nobody asked for");
});

Deno.test("DbusConnection.signal() waits no longer than it was told, whatever else comes", () => {
  const others = Array.from({ length: 200 }, () => signal("A", "x"));
  const { bus } = open([OK, reply(1), ...others, EAGAIN]);
  assertThrows(() => bus.signal("B", 60_000, () => false), DbusError, "B: no answer in time");
  const late = open([OK, reply(1), ...others]).bus;
  assertThrows(() => late.signal("B", -1, () => false), DbusError, "B: no answer in time");
});

Deno.test("DbusConnection.open() refuses a bus that does not let it in, or is none, and hangs up", () => {
  const wrong: [Part[], string][] = [
    [[new TextEncoder().encode("REJECTED EXTERNAL\r\n")], "does not let uid 0 in"],
    [[new TextEncoder().encode("DATA\r\nREJECTED EXTERNAL\r\n")], "does not let uid 0 in"],
    [[new Uint8Array(2000)], "speaks no D-Bus"],
    [[], "AUTH: the bus hung up"],
    [[EAGAIN], "AUTH: no answer in time"],
    [[OK, new Uint8Array(64)], "no D-Bus message"],
  ];
  for (const [parts, words] of wrong) {
    const { recorder } = scripted(parts);
    const error = assertThrows(() => DbusConnection.open(recorder.thread, "unix:path=/bus"));
    assert(error instanceof DbusError && error.message.includes(words), String(error));
    assertEquals(recorder.calls.at(-1)?.name, "close");
  }
  const { recorder } = scripted([]);
  assertThrows(() => DbusConnection.open(recorder.thread, "tcp:"), DbusError, "no address");
  const long = `unix:path=/${"x".repeat(200)}`;
  assertThrows(() => DbusConnection.open(recorder.thread, long), DbusError, "cannot be reached");
});

Deno.test("DbusConnection.call() ends with a DbusError or an answer, whatever bytes come", () => {
  const random = generator(5);
  for (let i = 0; i < 3000; i++) {
    const bytes = joined(signal("A", "x"), reply(2, { signature: "s", body: ["yes"] }));
    for (let n = random(4); n > 0; n--) bytes[random(bytes.length)] = random(256);
    const { bus } = open([OK, reply(1), bytes]);
    try {
      bus.call(METHOD);
    } catch (error) {
      assert(error instanceof DbusError, String(error));
    }
  }
});
