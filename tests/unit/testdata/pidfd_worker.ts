// Ten processes, started, waited for and reaped in a Worker; their exit codes are its message.
import { Host } from "../../../ffi/host.ts";
import { execve } from "../../../ffi/syscalls/process.ts";

const host = new Host("/tmp");
const codes = await Promise.all(Array.from({ length: 10 }, async () => {
  const stub = host.spawn("worker");
  using pidfd = stub.pidfd;
  stub.exec([execve("/bin/sh", ["sh", "-c", "exit 3"], [])]);
  await pidfd.wait();
  return pidfd.reap().code;
}));
(self as unknown as { postMessage(message: unknown): void }).postMessage(codes);
self.close();
