// What a stub becomes ends with whoever waits for it, also one that is killed at that very moment.
import { assertEquals, assertInstanceOf, assertThrows } from "@std/assert";
import { isThere } from "../../scripts/is_there.ts";
import { Pidfd } from "../../ffi/pidfd.ts";
import { StubGone } from "../../ffi/stub.ts";
import { SIGNAL } from "../../ffi/abi/signals.ts";
import { CommandError } from "../../runtime/cli/command_error.ts";
import { inContainer, runHooks } from "../../runtime/hooks/run_hooks.ts";
import { host, thread, within } from "../ffi_world.ts";
import { changed } from "./changed_remote.ts";

for (const [kind, who] of [["hook", "runHooks()"], ["program", "runProgram()"]] as const) {
  Deno.test(`${who} has run nothing when belay is killed before the stub makes its last calls`, async () => {
    const dir = Deno.makeTempDirSync();
    try {
      const entry = new URL("killed_driver_entry.ts", import.meta.url).pathname;
      const driver = new Deno.Command(Deno.execPath(), {
        args: ["run", "--allow-all", "--no-check", "--quiet", entry, kind, `${dir}/ran`],
        stdin: "piped",
        stdout: "piped",
      }).spawn();
      const reader = driver.stdout.getReader();
      const { value } = await reader.read();
      const stub = Pidfd.open(thread, Number(new TextDecoder().decode(value)));
      using _stub = stub;
      const writer = driver.stdin.getWriter();
      await writer.write(new Uint8Array(1));
      assertEquals((await driver.status).signal, "SIGKILL");
      await Promise.all([reader.cancel(), writer.close()]);
      stub.signal(SIGNAL.SIGCONT);
      await within(10_000, "the stub's end", stub.wait());
      assertEquals(isThere(`${dir}/ran`), false);
    } finally {
      Deno.removeSync(dir, { recursive: true });
    }
  });
}

Deno.test("runHooks() has run nothing when the container's process is killed before its child is a hook", () => {
  const dir = Deno.makeTempDirSync();
  const init = host.spawn("init");
  try {
    // Nothing else would end the hook: they share a pid namespace.
    const dying = changed(init, {
      clone(name, args) {
        const child = init.clone(name, args);
        init.pidfd.signal(SIGNAL.SIGKILL);
        init.pidfd.waitSync();
        return child;
      },
    });
    const hook = { path: "/bin/sh", args: ["sh", "-c", `echo > '${dir}/ran'`], env: [] };
    const state = { ociVersion: "1.3.0", id: "c", status: "created", bundle: "/" } as const;
    const error = assertThrows(
      () => runHooks(thread, inContainer(dying, []), "startContainer", [hook], state),
      CommandError,
    );
    assertInstanceOf(error.cause, StubGone);
    assertEquals(isThere(`${dir}/ran`), false);
  } finally {
    init[Symbol.dispose]();
    init.pidfd.reap();
    init.pidfd[Symbol.dispose]();
    Deno.removeSync(dir, { recursive: true });
  }
});
