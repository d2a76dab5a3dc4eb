import type { Kernel } from "../../ffi/kernel.ts";
import { post } from "../../ffi/deferring.ts";
import { tolerate } from "../../ffi/call.ts";
import { umask } from "../../ffi/syscalls/file.ts";
import { prctl, setsid } from "../../ffi/syscalls/process.ts";
import {
  joinSessionKeyring,
  setdomainname,
  sethostname,
  setKeyPermissions,
} from "../../ffi/syscalls/namespace.ts";
import { setresgid, setresuid } from "../../ffi/syscalls/credentials.ts";
import { PR } from "../../ffi/abi/process_flags.ts";
import { CommandError } from "../cli/command_error.ts";
import type { Spec } from "../spec/types.ts";

/** Possessor everything, user view, read and search (keyctl_setperm(3)), as runc grants. */
const KEYRING_PERMISSIONS = 0x3f0b0000;

/** The first steps of the container's first process: a session of its own, and root in its user namespace. */
export function becomeInit(
  init: Kernel,
  id: string,
  options: { newKeyring: boolean; ownUserNamespace: boolean },
): void {
  const keyring = joinSessionKeyring(`_ses.${id}`);
  const noKeyrings = "a kernel without keyrings has none to share";
  post(init, [
    // Nobody in the container may look into it, or take its descriptors, while it holds any (CVE-2016-9962).
    prctl(PR.PR_SET_DUMPABLE, 0),
    prctl(PR.PR_SET_NAME, "belay-init"),
    setsid(),
    umask(0),
  ]);
  if (options.ownUserNamespace) becomeRoot(init);
  if (!options.newKeyring) return;
  post(init, [
    tolerate(keyring, ["ENOSYS"], noKeyrings),
    tolerate(setKeyPermissions(keyring, KEYRING_PERMISSIONS), ["ENOSYS"], noKeyrings),
  ]);
}

function becomeRoot(init: Kernel): void {
  post(init, [setresgid(0), setresuid(0), prctl(PR.PR_SET_DUMPABLE, 0)], (cause) => {
    if (!cause.is("EINVAL")) throw cause;
    const problem = "the user namespace that is joined maps no id 0, which sets the container up";
    throw new CommandError(`linux.namespaces: ${problem}`, { cause });
  });
}

/** `hostname` and `domainname`. */
export function setNames(init: Kernel, spec: Spec): void {
  post(init, [
    ...(spec.hostname === undefined ? [] : [sethostname(spec.hostname)]),
    ...(spec.domainname === undefined ? [] : [setdomainname(spec.domainname)]),
  ]);
}
