// A thread that collects every child of this process at once, whoever waits for it: posted an Int32Array, it goes on
// until the first number is not 0, and counts in the second what it has collected.
import { Thread } from "../../ffi/thread.ts";
import { Call, out } from "../../ffi/call.ts";
import { P, WAIT } from "../../ffi/abi/process_flags.ts";
import { isSyscallError } from "../../ffi/syscall_error.ts";

/** Between two looks, so that the other threads run, too. */
const PAUSE_MS = 0.05;
const thread = new Thread();

/** Whether there was a child to collect. */
function collect(): boolean {
  const info = out(128);
  const any = new Call<boolean>(
    "waitid",
    [P.P_ALL, 0, info, WAIT.WEXITED | WAIT.WNOHANG, 0],
    () => info.view().getInt32(0, true) !== 0,
  );
  try {
    return thread.call(any);
  } catch (error) {
    if (isSyscallError(error, "ECHILD")) return false; // there are none at this moment
    throw error;
  }
}

const worker = globalThis as unknown as {
  onmessage: (event: MessageEvent<Int32Array<SharedArrayBuffer>>) => void;
  postMessage: (message: string) => void;
  close: () => void;
};
worker.onmessage = ({ data }) => {
  worker.postMessage("collecting");
  while (Atomics.load(data, 0) === 0) {
    if (collect()) Atomics.add(data, 1, 1);
    else Atomics.wait(data, 0, 0, PAUSE_MS);
  }
  worker.close();
};
