import { assertEquals, assertThrows } from "@std/assert";
import { ERRNO } from "../../ffi/abi/errno.ts";
import { S_IF } from "../../ffi/abi/file_flags.ts";
import { bindNamespace } from "../../ffi/bind_namespace.ts";
import { Struct } from "../../ffi/call.ts";
import { Recorder, type Script } from "../../ffi/recorder.ts";
import { isSyscallError } from "../../ffi/syscall_error.ts";
import { CommandError } from "../../runtime/cli/command_error.ts";
import { pinNamespace } from "../../runtime/userns/pin_namespace.ts";

/** Descriptors that the recorded calls have opened and not closed. */
function left({ calls }: Recorder): number[] {
  const open = new Set<number>();
  for (const { name, text, result } of calls) {
    if ((name === "openat" || name === "open_tree") && result >= 0) open.add(result);
    if (name === "close") open.delete(Number(/\d+/.exec(text)?.[0]));
  }
  return [...open];
}

/** Answers statx: an empty file, of these devices, one after the other. */
function files(...devices: readonly (readonly [major: number, minor: number])[]): Script {
  let at = 0;
  return ({ name, args }) => {
    const [buffer] = args.filter((arg) => arg instanceof Struct);
    if (name !== "statx" || buffer === undefined) return undefined;
    const view = buffer.view();
    const [major, minor] = devices[at++] ?? [0, 0];
    view.setUint16(28, S_IF.S_IFREG, true);
    view.setBigUint64(32, 77n, true);
    view.setUint32(136, major, true);
    view.setUint32(140, minor, true);
    return 0;
  };
}

Deno.test("pinNamespace() mounts on a new file, and keeps nothing open", () => {
  const recorder = new Recorder(files([8, 1], [8, 1]));
  pinNamespace(recorder.thread, 9, "/there");
  assertEquals(recorder.calls.map(({ name }) => name), [
    ...["openat", "flock", "statx", "statx", "open_tree", "move_mount", "close", "close"],
  ]);
  assertEquals(left(recorder), []);
});

Deno.test("pinNamespace() refuses a path that leads to a file of another device by now", () => {
  for (const other of [[8, 2], [9, 1]] as const) {
    const recorder = new Recorder(files([8, 1], other));
    assertThrows(() => pinNamespace(recorder.thread, 9, "/there"), CommandError, "no empty file");
    assertEquals(left(recorder), []);
  }
});

Deno.test("pinNamespace() and bindNamespace() leave nothing open when the mount fails", () => {
  for (const errno of ["EPERM", "ENOMEM"] as const) {
    const file = files([8, 1], [8, 1]);
    const recorder = new Recorder((asked) =>
      asked.name === "move_mount" ? -ERRNO[errno] : file(asked)
    );
    assertThrows(() => pinNamespace(recorder.thread, 9, "/there"));
    const error = assertThrows(() => bindNamespace(recorder.thread, 9, 10));
    assertEquals(isSyscallError(error, errno), true);
    assertEquals(left(recorder), []);
  }
});
