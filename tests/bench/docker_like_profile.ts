// A profile of the size and the kind of docker's default one: what its documentation says of it ("Seccomp security
// profiles for Docker"), over all system calls that this machine's libseccomp knows.

/** What docker's profile does not allow to a container without further capabilities. */
const REFUSED: ReadonlySet<string> = new Set([
  ...["acct", "add_key", "bpf", "clock_adjtime", "clock_settime", "clock_settime64", "clone"],
  ...["clone3", "create_module", "delete_module", "finit_module", "fsconfig", "fsmount", "fsopen"],
  ...["fspick", "get_kernel_syms", "get_mempolicy", "init_module", "ioperm", "iopl", "kcmp"],
  ...["kexec_file_load", "kexec_load", "keyctl", "lookup_dcookie", "mbind", "migrate_pages"],
  ...["mount", "mount_setattr", "move_mount", "move_pages", "nfsservctl", "open_by_handle_at"],
  ...["open_tree", "perf_event_open", "personality", "pidfd_getfd", "pivot_root"],
  ...["process_madvise", "query_module", "quotactl", "quotactl_fd", "reboot", "request_key"],
  ...["set_mempolicy", "set_mempolicy_home_node", "setdomainname", "sethostname", "setns"],
  ...["settimeofday", "socket", "stime", "swapoff", "swapon", "sysfs", "syslog", "umount"],
  ...["umount2", "unshare", "uselib", "userfaultfd", "ustat", "vhangup", "vm86", "vm86old"],
]);

/** Larger than any system call's number. */
const NUMBERS = 600;

/** The namespaces that clone(2) may not make: CLONE_NEW* but for CLONE_NEWTIME. */
const NAMESPACES = 0x7e020000;

/** `linux.seccomp`, for x86_64 with its 32-bit sisters, or aarch64 with arm. */
export function dockerLikeProfile(): object {
  const x86 = Deno.build.arch === "x86_64";
  const arches = x86 ? ["x86_64", "x86", "x32"] : ["aarch64", "arm"];
  const names = namesOf(arches).filter((name) => !REFUSED.has(name));
  const compare = (value: number, op: string) => ({ index: 0, value, valueTwo: 0, op });
  const allow = (names: readonly string[], ...args: object[]) => ({
    ...{ names, action: "SCMP_ACT_ALLOW" },
    ...(args.length === 0 ? {} : { args }),
  });
  return {
    defaultAction: "SCMP_ACT_ERRNO",
    defaultErrnoRet: 1,
    architectures: arches.map((name) => `SCMP_ARCH_${name.toUpperCase()}`),
    syscalls: [
      allow(names),
      allow(["socket"], compare(40, "SCMP_CMP_NE")),
      ...[0, 8, 0x20000, 0x20008, 0xffffffff].map((domain) =>
        allow(["personality"], compare(domain, "SCMP_CMP_EQ"))
      ),
      allow(["clone"], compare(NAMESPACES, "SCMP_CMP_MASKED_EQ")),
      { names: ["clone3"], action: "SCMP_ACT_ERRNO", errnoRet: 38 },
    ],
  };
}

/** Every name that libseccomp has for a number of these architectures. */
function namesOf(arches: readonly string[]): string[] {
  const library = Deno.dlopen("libseccomp.so.2", {
    seccomp_arch_resolve_name: { parameters: ["buffer"], result: "u32" },
    seccomp_syscall_resolve_num_arch: { parameters: ["u32", "i32"], result: "pointer" },
  });
  const { symbols } = library;
  const names = new Set<string>();
  for (const arch of arches) {
    const token = symbols.seccomp_arch_resolve_name(new TextEncoder().encode(`${arch}\0`));
    for (let number = 0; number < NUMBERS; number++) {
      const name = symbols.seccomp_syscall_resolve_num_arch(token, number);
      if (name !== null) names.add(new Deno.UnsafePointerView(name).getCString());
    }
  }
  library.close();
  return [...names].sort();
}
