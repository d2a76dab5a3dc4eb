// Every call of wireTap() fails once.
import { assert, assertEquals } from "@std/assert";
import { deleteIngress } from "../../ffi/netlink/traffic.ts";
import { observe, type Observer } from "../../ffi/observer.ts";
import { ERRNO } from "../../ffi/abi/errno.ts";
import { close } from "../../ffi/syscalls/file.ts";
import { wireTap } from "../../runtime/netns/wire_tap.ts";
import { openFds, thread } from "../ffi_world.ts";
import { testUnless } from "../skip.ts";
import {
  index,
  ingresses,
  inSandbox,
  noTcx,
  obstacles,
  redirections,
  untilGone,
} from "./wire_world.ts";

/** Makes the call of one number fail, once; how many there were. */
function failing(at: number): { observer: Observer; seen: string[] } {
  const seen: string[] = [];
  return {
    seen,
    observer: {
      before: ({ name }) => seen.push(name) === at ? ERRNO.EIO : undefined,
      after: () => {},
    },
  };
}

for (const way of ["links", "filters"] as const) {
  const missing = way === "links" ? await noTcx() : undefined;
  testUnless(
    [...obstacles, missing],
    `wireTap() by ${way} leaves nothing whichever of its calls fails`,
    async () => {
      await inSandbox(async ({ inside, socket }) => {
        let before = openFds().length;
        for (let at = 1;; at++) {
          const { observer, seen } = failing(at);
          observe(observer);
          let fds: readonly number[] | undefined;
          let error: unknown;
          try {
            ({ fds } = wireTap(inside, { link: "eth0", name: "tap0", way, record: () => {} }));
          } catch (cause) {
            error = cause;
          } finally {
            observe(undefined);
          }
          for (const fd of fds ?? []) thread.call(close(fd));
          if (seen[at - 1] === "close") before++; // it was not made: nobody could have closed that one
          if (seen.length < at) {
            assert(at > 10, `only ${at} calls were seen`);
            assert(error === undefined);
            return;
          }
          if (seen[at - 1] !== "close") await untilGone(socket, "tap0");
          const left = `call ${at}, ${seen[at - 1]}: a descriptor stays open`;
          assertEquals(openFds().length, before, left);
          // Some failures are expected there: of what only makes errors readable, or of close(2).
          if (error !== undefined) {
            assertEquals([ingresses(socket), redirections(socket, "eth0")], [0, []], `call ${at}`);
          } else if (way === "filters") socket.do(deleteIngress(index(socket, "eth0")));
        }
      });
    },
  );
}
