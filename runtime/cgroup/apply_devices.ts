import type { Kernel } from "../../ffi/kernel.ts";
import { AT_FDCWD, O } from "../../ffi/abi/file_flags.ts";
import { readFile, writeFile } from "../../ffi/files.ts";
import { isSyscallError } from "../../ffi/syscall_error.ts";
import { close, openat } from "../../ffi/syscalls/file.ts";
import {
  BPF_ATTACH_TYPE,
  BPF_F,
  bpf_prog_attach,
  bpf_prog_load,
  BPF_PROG_TYPE,
} from "../../ffi/syscalls/bpf.ts";
import { CgroupError } from "./cgroup_error.ts";
import type { CgroupDirectory } from "./cgroup_plan.ts";
import { describeException, type DeviceList } from "./device_list.ts";
import { deviceProgram } from "./device_program.ts";

/** What /proc/self/uid_map says outside of user namespaces (user_namespaces(7)). */
const INITIAL_UID_MAP = /^\s*0\s+0\s+4294967295\s*$/;

/**
 * Puts a device list in force for a cgroup: by the files of the v1 controller, or by a program on cgroup v2.
 *
 * In a user namespace the kernel lets nobody do either. There it is no loss: device nodes cannot be made in one, and
 * those that are there are the owner's to open. runc goes on without, too.
 *
 * @throws {CgroupError}
 */
export function applyDevices(kernel: Kernel, directory: CgroupDirectory, list: DeviceList): void {
  try {
    if (directory.version === 1) writeList(kernel, directory.path, list);
    else attachProgram(kernel, directory.path, list);
  } catch (error) {
    if (isSyscallError(error, "EPERM") && inUserNamespace(kernel)) return;
    throw new CgroupError(`linux.resources.devices: cannot restrict ${directory.path}`, {
      cause: error,
    });
  }
}

/** `a` first: it sets the default and takes away what the cgroup has inherited. */
function writeList(kernel: Kernel, path: string, { allowed, exceptions }: DeviceList): void {
  const [base, excepted] = allowed ? ["allow", "deny"] : ["deny", "allow"];
  writeFile(kernel, AT_FDCWD, `${path}/devices.${base}`, "a *:* rwm");
  if (exceptions.length === 0) return;
  writeFile(kernel, AT_FDCWD, `${path}/devices.${excepted}`, ...exceptions.map(describeException));
}

function attachProgram(kernel: Kernel, path: string, list: DeviceList): void {
  const type = BPF_PROG_TYPE.BPF_PROG_TYPE_CGROUP_DEVICE;
  const program = kernel.call(bpf_prog_load(type, deviceProgram(list), "Apache-2.0"));
  try {
    const cgroup = kernel.call(openat(AT_FDCWD, path, O.O_RDONLY | O.O_DIRECTORY));
    try {
      const { BPF_CGROUP_DEVICE } = BPF_ATTACH_TYPE;
      kernel.call(bpf_prog_attach(cgroup, program, BPF_CGROUP_DEVICE, BPF_F.BPF_F_ALLOW_MULTI));
    } finally {
      kernel.call(close(cgroup));
    }
  } finally {
    kernel.call(close(program));
  }
}

function inUserNamespace(kernel: Kernel): boolean {
  return !INITIAL_UID_MAP.test(readFile(kernel, AT_FDCWD, "/proc/self/uid_map"));
}
