import type { Call } from "../../ffi/call.ts";
import type { Kernel } from "../../ffi/kernel.ts";
import type { Remote } from "../../ffi/remote.ts";
import { SyscallError } from "../../ffi/syscall_error.ts";
import { AT_FDCWD, O } from "../../ffi/abi/file_flags.ts";
import { SIGNAL } from "../../ffi/abi/signals.ts";
import { close, openat } from "../../ffi/syscalls/file.ts";
import { SECCOMP_FILTER_FLAG, seccomp_set_mode_filter } from "../../ffi/syscalls/seccomp.ts";
import { CommandError } from "../cli/command_error.ts";
import { DescriptorSocket } from "../process/send_descriptor.ts";
import type { HookState } from "../hooks/run_hooks.ts";
import { OCI_VERSION } from "../spec/oci_version.ts";
import type { SeccompState } from "../state/state_file.ts";
import { letsPass } from "./run_filter.ts";

/** How a process of a container is filtered. */
export interface Filtering extends SeccompState {
  /** The compiled filter. */
  readonly filter: Uint8Array;
  /** The container, as who listens is told of it. */
  readonly container: HookState;
}

/**
 * The last batch under a filter: the filter is installed just before execve, so that execve alone (and with a listener
 * the sendmsg that brings it here, and its close where that is allowed) is subject to it.
 * @throws CommandError when the filter is refused, or the listener cannot be handed over: then the process is killed.
 */
export function execFiltered(
  thread: Kernel,
  stub: Remote,
  calls: readonly Call<unknown>[],
  filtering: Filtering,
): void {
  const { listener } = filtering;
  if (listener === undefined) return install(stub, calls, filtering);
  const connection = new Connection(thread, listener.path);
  try {
    // Nothing of the batch opens anything before: the listener takes the lowest free number, as every descriptor.
    const probe = openat(AT_FDCWD, "/", O.O_PATH);
    const [number] = stub.batch([probe, close(probe)]);
    install(stub, calls, filtering, {
      fds: [number],
      // Else an agent that hangs up would not be seen to: execve would wait for an answer as long as the stub, which
      // waits there itself, has the listener open.
      closes: letsPass(filtering.filter, "close", [BigInt(number)]),
      take: (fds) => {
        try {
          connection.tell(fds, processState(stub, filtering));
        } catch (cause) {
          stub.pidfd.signal(SIGNAL.SIGKILL); // nobody would answer what it asks
          throw cause;
        } finally {
          // Before anything is waited for: execve itself may have to be answered by who reads to the connection's end.
          connection[Symbol.dispose]();
          for (const fd of fds) thread.call(close(fd));
        }
      },
    });
  } finally {
    connection[Symbol.dispose]();
  }
}

function install(
  stub: Remote,
  calls: readonly Call<unknown>[],
  { flags, filter }: Filtering,
  sent?: Parameters<Remote["exec"]>[1],
): void {
  const listening = sent === undefined ? 0 : SECCOMP_FILTER_FLAG.SECCOMP_FILTER_FLAG_NEW_LISTENER;
  const installed = seccomp_set_mode_filter(flags | listening, filter);
  try {
    stub.exec([...calls.slice(0, -1), installed, ...calls.slice(-1)], sent);
  } catch (cause) {
    if (!(cause instanceof SyscallError) || cause.syscall !== "seccomp") throw cause;
    throw new CommandError("linux.seccomp: the kernel refuses the filter", { cause });
  }
}

/** config-linux.md, "The Container Process State". */
function processState(stub: Remote, { listener, container }: Filtering): string {
  return JSON.stringify({
    ociVersion: OCI_VERSION,
    fds: ["seccompFd"],
    pid: stub.pidfd.pid,
    ...(listener?.metadata === undefined ? {} : { metadata: listener.metadata }),
    state: container,
  });
}

/** A connection to who listens at a path. Every failure is told with the field that named the path. */
class Connection implements Disposable {
  readonly #there: DescriptorSocket;

  constructor(thread: Kernel, private readonly path: string) {
    this.#there = this.#do(() => new DescriptorSocket(thread, path));
  }

  /** Sends a text, and descriptors with its first byte. */
  tell(fds: readonly number[], text: string): void {
    const { sent, size } = this.#do(() => this.#there.send(fds, text));
    if (sent === size) return;
    throw new CommandError(`${this.#problem()}: only ${sent} of ${size} bytes of the state`);
  }

  #do<T>(step: () => T): T {
    try {
      return step();
    } catch (cause) {
      if (!(cause instanceof SyscallError)) throw cause;
      throw new CommandError(this.#problem(), { cause });
    }
  }

  #problem(): string {
    return `linux.seccomp.listenerPath: the listener cannot be sent to ${this.path}`;
  }

  /** Closes it. Twice is harmless. */
  [Symbol.dispose](): void {
    this.#there[Symbol.dispose]();
  }
}
