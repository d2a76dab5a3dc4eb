import { GLOBAL_FLAGS } from "../cli/global_flags.ts";
import { CAPABILITY_NAMES } from "../spec/capability_names.ts";
import { type ListedField, listFields } from "../spec/list_fields.ts";
import { mountOptionNames } from "../spec/mount_options.ts";
import { OCI_VERSION } from "../spec/oci_version.ts";

/** The annotation under which runc and crun tell their libseccomp. */
const LIBSECCOMP = "io.github.seccomp.libseccomp.version";

/** Who would make and take system call filters here. */
export interface SeccompHere {
  /** libseccomp's version. */
  readonly libseccomp: string;
  /** Whether libseccomp knows an architecture, `SCMP_ARCH_X86`. */
  readonly knowsArch: (name: string) => boolean;
  /** Whether the kernel takes a flag, `SECCOMP_FILTER_FLAG_LOG`. */
  readonly takesFlag: (name: string) => boolean;
}

/** What is not known from belay's own code. */
export interface Surroundings {
  /** belay's version. */
  readonly version: string;
  /** Undefined where there is no libseccomp. */
  readonly seccomp: SeccompHere | undefined;
}

/** What stands in a features document. */
export type Features = Readonly<Record<string, unknown>>;

/**
 * The features document (features.md and features-linux.md of the OCI runtime specification): what works, and nothing
 * else. All of it comes from the data that the parser of config.json and docs/config.md come from.
 */
export function ociFeatures({ version, seccomp }: Surroundings): Features {
  const fields = new Map(listFields().map((field) => [field.path, field]));
  const works = (path: string) => expect(fields, path).status === "supported";
  const words = (path: string) => [...expect(fields, path).words ?? []];
  const systemd = GLOBAL_FLAGS.some(({ name, refused }) =>
    name === "systemd-cgroup" && refused === undefined
  );
  return {
    ociVersionMin: "1.0.0",
    ociVersionMax: OCI_VERSION,
    hooks: [...fields.keys()].flatMap((path) => /^hooks\.(\w+)\[\]$/.exec(path)?.[1] ?? []),
    mountOptions: mountOptionNames(),
    linux: {
      namespaces: words("linux.namespaces[].type").sort(),
      capabilities: CAPABILITY_NAMES,
      cgroup: {
        v1: works("linux.resources"),
        v2: works("linux.resources"),
        systemd,
        systemdUser: false,
        rdma: works("linux.resources.rdma.*"),
      },
      seccomp: seccomp !== undefined && works("linux.seccomp")
        ? {
          enabled: true,
          actions: words("linux.seccomp.defaultAction").sort(),
          operators: words("linux.seccomp.syscalls[].args[].op").sort(),
          archs: words("linux.seccomp.architectures[]").filter(seccomp.knowsArch).sort(),
          knownFlags: words("linux.seccomp.flags[]").sort(),
          supportedFlags: words("linux.seccomp.flags[]").filter(seccomp.takesFlag).sort(),
        }
        : { enabled: false },
      apparmor: { enabled: works("process.apparmorProfile") },
      selinux: { enabled: works("process.selinuxLabel") && works("linux.mountLabel") },
      intelRdt: { enabled: works("linux.intelRdt") },
      memoryPolicy: { enabled: works("linux.memoryPolicy") },
      mountExtensions: { idmap: { enabled: works("mounts[].uidMappings[]") } },
      netDevices: { enabled: works("linux.netDevices.*") },
    },
    annotations: {
      "org.belay.version": version,
      ...(seccomp === undefined ? {} : { [LIBSECCOMP]: seccomp.libseccomp }),
    },
  };
}

function expect(fields: ReadonlyMap<string, ListedField>, path: string): ListedField {
  const field = fields.get(path);
  if (field === undefined) throw new Error(`config.json has no field ${path}`);
  return field;
}
