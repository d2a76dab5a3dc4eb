import type { Kernel } from "../../ffi/kernel.ts";
import { AT_FDCWD, O } from "../../ffi/abi/file_flags.ts";
import { writeFile } from "../../ffi/files.ts";
import { isSyscallError } from "../../ffi/syscall_error.ts";
import { close, openat } from "../../ffi/syscalls/file.ts";
import {
  BPF_ATTACH_TYPE,
  BPF_F,
  bpf_prog_attach,
  bpf_prog_load,
  BPF_PROG_TYPE,
} from "../../ffi/syscalls/bpf.ts";
import { isHostRoot } from "../security/user_namespace.ts";
import { CgroupError } from "./cgroup_error.ts";
import type { CgroupDirectory } from "./cgroup_plan.ts";
import { describeException, type DeviceList } from "./device_list.ts";
import { deviceProgram } from "./device_program.ts";

/**
 * Puts a device list in force for a cgroup: by the files of the v1 controller, or by a program on cgroup v2.
 *
 * The kernel lets nobody do either in a user namespace, nor anybody but root outside. There it is no loss: the
 * container has a user namespace then, in which device nodes cannot be made, and those that are there are the owner's
 * to open. runc goes on without, too.
 *
 * @throws {CgroupError}
 */
export function applyDevices(kernel: Kernel, directory: CgroupDirectory, list: DeviceList): void {
  try {
    if (directory.version === 1) writeList(kernel, directory.path, list);
    else attachProgram(kernel, directory.path, list);
  } catch (error) {
    if (isSyscallError(error, "EPERM") && !isHostRoot(kernel)) return;
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
