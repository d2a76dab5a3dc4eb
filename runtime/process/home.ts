import type { Kernel } from "../../ffi/kernel.ts";
import { attempt } from "../../ffi/call.ts";
import { close, openat2, read, statx } from "../../ffi/syscalls/file.ts";
import { AT, O, RESOLVE, S_IF } from "../../ffi/abi/file_flags.ts";
import { lastOfEach } from "./environment.ts";

/** A passwd file that is larger is read up to here. */
const LIMIT = 0x10000;

/**
 * The process's environment, each variable once, with HOME, which runtimes add when the configuration has none: the
 * user's entry in the container's /etc/passwd, else "/". The file is the image's: it is opened inside the root, without waiting (it may be
 * a pipe), and only read when it is a plain file.
 */
export function withHome(
  kernel: Kernel,
  root: number,
  env: readonly string[],
  uid: number,
): string[] {
  const given = lastOfEach(env);
  if (given.some((each) => each.startsWith("HOME=") && each !== "HOME=")) return given;
  const without = given.filter((each) => each !== "HOME=");
  return [...without, `HOME=${homeOf(readPasswd(kernel, root), uid) ?? "/"}`];
}

/** The home directory of a user in the text of a passwd file (passwd(5)). */
export function homeOf(passwd: string, uid: number): string | undefined {
  for (const line of passwd.split("\n")) {
    const [, , id, , , home] = line.split(":");
    if (id === String(uid) && home) return home;
  }
  return undefined;
}

function readPasswd(kernel: Kernel, root: number): string {
  const opened = kernel.call(attempt(openat2(root, "etc/passwd", {
    flags: O.O_RDONLY | O.O_NONBLOCK | O.O_NOCTTY,
    resolve: RESOLVE.RESOLVE_IN_ROOT | RESOLVE.RESOLVE_NO_MAGICLINKS,
  })));
  if (opened instanceof Error) return ""; // an image without it, or with something else there: nobody has a home
  const { mode } = kernel.call(statx(opened, "", AT.AT_EMPTY_PATH));
  let text = "";
  if ((mode & S_IF.S_IFMT) === S_IF.S_IFREG) {
    const decoder = new TextDecoder();
    for (let size = 0; size < LIMIT;) {
      const part = kernel.call(read(opened, 0x4000));
      if (part.length === 0) break;
      size += part.length;
      text += decoder.decode(part, { stream: true });
    }
  }
  kernel.call(close(opened));
  return text;
}
