import { assertEquals, assertRejects } from "@std/assert";
import { CommandError } from "../../runtime/cli/command_error.ts";
import { exitCodeOf, runInStub } from "../../runtime/process/run_program.ts";
import { getpid } from "../../ffi/syscalls/process.ts";
import { host, openFds } from "../ffi_world.ts";

Deno.test("runProgram() hands a signal on that comes before the program is executed", async () => {
  for (const [signal, code] of [["SIGTERM", 143], ["SIGHUP", 129], ["SIGUSR2", 140]] as const) {
    const module = new URL("testdata/signal_before_exec.ts", import.meta.url).pathname;
    const ended = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--allow-all", "--no-check", "--quiet", module, signal],
      stdin: "null",
    }).output();
    assertEquals([ended.code, ended.signal], [code, null], new TextDecoder().decode(ended.stderr));
  }
});

async function ended(...argv: string[]): Promise<number> {
  return exitCodeOf(await runInStub(host, "test", () => {}, argv));
}

Deno.test("runInStub() returns how the program ended, and leaves nothing open", async () => {
  const fds = openFds();
  assertEquals(await ended("sh", "-c", "exit 7"), 7);
  assertEquals(await ended("sh", "-c", "kill -KILL $$"), 137);
  assertEquals(openFds(), fds);
});

Deno.test("runInStub() ends its stub when the way into the namespaces fails", async () => {
  const fds = openFds();
  let pid = 0;
  const failing = () =>
    runInStub(host, "test", (stub) => {
      pid = stub.call(getpid());
      throw new CommandError("no way in");
    }, ["true"]);
  await assertRejects(failing, CommandError, "no way in");
  assertEquals(openFds(), fds);
  assertEquals(
    Deno.readTextFileSync("/proc/self/task/" + Deno.pid + "/children").includes(`${pid} `),
    false,
  );
});

Deno.test("runProgram() tells shells apart what is missing and what cannot be executed", async () => {
  const code = async (name: string) => {
    const error = await assertRejects(() => ended(name), CommandError);
    return [error.exitCode, error.message];
  };
  assertEquals(await code("/no/such"), [
    127,
    'exec: "/no/such": no such file or directory',
  ]);
  assertEquals(await code("/etc/passwd"), [126, 'exec: "/etc/passwd": permission denied']);
});
