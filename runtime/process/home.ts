import type { Kernel } from "../../ffi/kernel.ts";
import { attempt } from "../../ffi/call.ts";
import { post } from "../../ffi/deferring.ts";
import { close, openat2, read, statx } from "../../ffi/syscalls/file.ts";
import { AT, O, RESOLVE, S_IF } from "../../ffi/abi/file_flags.ts";
import { lastOfEach } from "./environment.ts";

/** A passwd file that is larger is read up to here. */
const LIMIT = 0x10000;

/**
 * The process's environment, each variable once, with HOME, which runtimes add when the configuration has none: the
 * user's entry in the container's /etc/passwd, else "/". The file is the image's: it is opened inside the root,
 * without waiting (it may be a pipe), and only read when it is a plain file.
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

/** Opened and looked at in one request, read in a second one: what is no plain file must not be read. */
function readPasswd(kernel: Kernel, root: number): string {
  const opened = openat2(root, "etc/passwd", {
    flags: O.O_RDONLY | O.O_NONBLOCK | O.O_NOCTTY,
    resolve: RESOLVE.RESOLVE_IN_ROOT | RESOLVE.RESOLVE_NO_MAGICLINKS,
  });
  const looked = attempt(statx(opened, "", AT.AT_EMPTY_PATH));
  const [fd, stat] = kernel.batch([attempt(opened), looked]);
  if (fd instanceof Error) return ""; // an image without it, or with something else there: nobody has a home
  if (stat instanceof Error) throw stat;
  let text = "";
  if ((stat.mode & S_IF.S_IFMT) === S_IF.S_IFREG) {
    const decoder = new TextDecoder();
    for (let size = 0; size < LIMIT;) {
      const part = kernel.call(read(fd, 0x4000));
      if (part.length === 0) break;
      size += part.length;
      text += decoder.decode(part, { stream: true });
      // A file that tells no size (a bind mount of one of /proc) is read until it says that it has ended.
      if (stat.size > 0n && size >= stat.size) break;
    }
  }
  post(kernel, [close(fd)]);
  return text;
}
