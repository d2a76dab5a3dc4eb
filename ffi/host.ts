import { Arena } from "./arena.ts";
import { Struct, tolerate } from "./call.ts";
import type { Kernel } from "./kernel.ts";
import type { Carriers, Remote } from "./remote.ts";
import { Thread } from "./thread.ts";
import { Stub } from "./stub.ts";
import { Pidfd } from "./pidfd.ts";
import { STUB_FD } from "./stub/protocol.ts";
import { stubElf, stubMemfd } from "./stub_image.ts";
import { addressOf, posixSpawn } from "./libc.ts";
import { isSyscallError, SyscallError } from "./syscall_error.ts";
import { connect, SOCK, socket, socketpair } from "./syscalls/socket.ts";
import { close, fchmod, mkdirat, openat, write } from "./syscalls/file.ts";
import { AT_FDCWD, O, O_TMPFILE } from "./abi/file_flags.ts";
import { ERRNO } from "./abi/errno.ts";

/** posix_spawnattr_t (spawn.h): flags at 0, the signals to reset at 8, the mask at 136; 336 bytes in glibc. */
const ATTRIBUTES = { size: 336, flags: 0, sigdefault: 8 } as const;
const POSIX_SPAWN_SETSIGDEF = 0x04;
const POSIX_SPAWN_SETSIGMASK = 0x08;
/** posix_spawn_file_actions_t (spawn.h), in which all zeros is "no actions". */
const ACTIONS_SIZE = 80;

/** The carriers of the real world: this thread, and stubs that posix_spawn(3) starts. */
export class Host implements Carriers {
  #image: number | undefined;

  /** @param root A directory of belay's own, for the stub's file where executing a memfd is forbidden. */
  constructor(private readonly root: string, readonly thread: Kernel = new Thread()) {}

  /** @inheritdoc */
  spawn(name: string): Remote {
    const [mine, its] = this.thread.call(socketpair(SOCK.SOCK_SEQPACKET));
    try {
      const pid = this.#spawn(`belay-${name}`, its);
      // Ours to reap and nobody else's: the number is that process's until we do.
      return new Stub(this.thread, name, mine, STUB_FD, Pidfd.open(this.thread, pid));
    } catch (error) {
      this.thread.call(close(mine));
      throw error;
    } finally {
      this.thread.call(close(its));
    }
  }

  /** @inheritdoc */
  wake(name: string, path: string, pidfd: Pidfd): Remote {
    const fd = this.thread.call(socket(SOCK.SOCK_SEQPACKET));
    try {
      this.thread.call(connect(fd, path));
      return Stub.adopt(this.thread, name, fd, pidfd);
    } catch (error) {
      this.thread.call(close(fd));
      throw error;
    }
  }

  #spawn(argv0: string, socketFd: number): number {
    this.#image ??= this.#memfdOrFile();
    const errno = this.#spawnFrom(this.#image, argv0, socketFd);
    if (typeof errno === "object") return errno.pid;
    if (errno !== ERRNO.EACCES && errno !== ERRNO.EPERM) {
      throw new SyscallError("posix_spawn", errno, argv0);
    }
    // A security module, or vm.memfd_noexec in its middle setting, refuses to execute the memfd.
    this.thread.call(close(this.#image));
    this.#image = this.#file();
    const again = this.#spawnFrom(this.#image, argv0, socketFd);
    if (typeof again === "object") return again.pid;
    throw new SyscallError(
      "posix_spawn",
      again,
      `executing the stub: neither a memfd (vm.memfd_noexec?) nor a file in ${this.root} (mounted noexec?)`,
    );
  }

  /**
   * The image may be executed at this moment alone: a container that names /proc/self/exe as its program, or as the
   * interpreter of a script, is refused by the kernel (EACCES) and never runs a stub (CVE-2019-5736).
   */
  #spawnFrom(image: number, argv0: string, socketFd: number): { pid: number } | number {
    this.thread.call(fchmod(image, 0o500));
    try {
      return spawnFrom(image, argv0, socketFd); // which returns after the execve
    } finally {
      this.thread.call(fchmod(image, 0));
    }
  }

  #memfdOrFile(): number {
    try {
      return stubMemfd(this.thread);
    } catch (error) {
      if (!isSyscallError(error, "EACCES", "EPERM", "ENOSYS")) throw error;
      return this.#file();
    }
  }

  /** The stub in a file without a name: nothing to clean up, whatever happens. Its descriptor, read-only. */
  #file(): number {
    // Commands that keep no state have not made it.
    this.thread.call(tolerate(mkdirat(AT_FDCWD, this.root, 0o700), ["EEXIST"], "it is there"));
    const writer = this.thread.call(openat(AT_FDCWD, this.root, O_TMPFILE | O.O_RDWR, 0o500));
    try {
      const elf = stubElf();
      if (this.thread.call(write(writer, elf)) !== elf.length) {
        throw new Error(`the stub's file in ${this.root} was not written whole`);
      }
      // A file that is open for writing cannot be executed (ETXTBSY).
      return this.thread.call(openat(AT_FDCWD, `/proc/self/fd/${writer}`, O.O_RDONLY));
    } finally {
      this.thread.call(close(writer));
    }
  }
}

/** posix_spawn(3) of an open file, with default signals, an empty mask and an empty environment. */
function spawnFrom(image: number, argv0: string, socketFd: number): { pid: number } | number {
  const memory = new ArrayBuffer(0x1000);
  const arena = new Arena(memory, addressOf(memory));
  const pid = new Struct(8, [], true);
  const attributes = new Struct(ATTRIBUTES.size, [
    [ATTRIBUTES.flags, 2, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK],
    [ATTRIBUTES.sigdefault, 8, 0xffffffffffffffffn],
  ]);
  const errno = posixSpawn(
    arena.value(pid),
    arena.value(`/proc/self/fd/${image}`),
    arena.value(new Struct(ACTIONS_SIZE, [])),
    arena.value(attributes),
    arena.value(new Struct(16, [[0, 8, argv0]])),
    arena.value(new Struct(8, [])),
    ...[socketFd, STUB_FD] as const,
  );
  return errno === 0 ? { pid: arena.view.getInt32(arena.offsetOf(pid), true) } : errno;
}
