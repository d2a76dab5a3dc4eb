import type { Kernel } from "./kernel.ts";
import { STUB_ELF } from "./stub/bytes.ts";
import { close, fcntl, memfd_create, write } from "./syscalls/file.ts";
import { F, F_SEAL, MFD } from "./abi/file_flags.ts";
import { isSyscallError } from "./syscall_error.ts";

/** The stub's ELF executable for this machine. */
export function stubElf(arch: "x86_64" | "aarch64" = Deno.build.arch): Uint8Array<ArrayBuffer> {
  const digits = STUB_ELF[arch];
  const elf = new Uint8Array(digits.length / 2);
  for (let i = 0; i < elf.length; i++) elf[i] = parseInt(digits.slice(i * 2, i * 2 + 2), 16);
  return elf;
}

/**
 * The stub in a sealed memfd, so that what a container sees as its /proc/PID/exe is never a file that could be
 * written to (CVE-2019-5736). Its descriptor.
 * @throws SyscallError EACCES where vm.memfd_noexec forbids executable ones.
 */
export function stubMemfd(kernel: Kernel): number {
  const fd = createMemfd(kernel);
  try {
    const elf = stubElf();
    if (kernel.call(write(fd, elf)) !== elf.length) {
      throw new Error("the stub's memfd was not written whole");
    }
    const { F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE } = F_SEAL;
    kernel.call(fcntl(fd, F.F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE));
    return fd;
  } catch (error) {
    kernel.call(close(fd));
    throw error;
  }
}

function createMemfd(kernel: Kernel): number {
  const common = MFD.MFD_CLOEXEC | MFD.MFD_ALLOW_SEALING;
  try {
    return kernel.call(memfd_create("belay-stub", common | MFD.MFD_EXEC));
  } catch (error) {
    if (!isSyscallError(error, "EINVAL")) throw error;
    return kernel.call(memfd_create("belay-stub", common)); // before 6.3 every memfd is executable
  }
}
