import { LINUX } from "./linux_schema.ts";
import { parseMountOptions } from "./mount_options.ts";
import { checkOciVersion } from "./oci_version.ts";
import { PROCESS } from "./process_schema.ts";
import { absolutePath, bool, integer, nonEmpty, string } from "./scalars.ts";
import {
  array,
  checked,
  defaulted,
  foreign,
  map,
  object,
  optional,
  refused,
  required,
} from "./schema.ts";
import { preview, ValidationError } from "./validation_error.ts";

/** `root`. */
export const ROOT = object({
  path: required(nonEmpty, { note: "relative to the bundle, or absolute" }),
  readonly: defaulted(bool, false),
});

/** config.md, "Mounts": a relative destination is deprecated and relative to "/". */
const DESTINATION = checked(nonEmpty, (destination, at, warnings) => {
  if (destination.startsWith("/")) return destination;
  warnings.push(`${at}: ${preview(destination)} is relative, which is deprecated; "/" is meant`);
  return `/${destination}`;
});

/** `mounts[]`. Beside the fields of the specification it has `parsed`, the options read. */
export const MOUNT = checked(
  object({
    destination: required(DESTINATION, {
      note: "not the root itself; a relative one is deprecated: warned of",
    }),
    type: optional(string),
    source: optional(string, { note: "of a bind mount: relative to the bundle, or absolute" }),
    options: defaulted(array(string), [], {
      note: "all of the specification's but idmap and ridmap; others go to the filesystem",
    }),
    uidMappings: refused("idmapped mounts are", {
      since: "1.1",
      shape: "[]{containerID hostID size}",
    }),
    gidMappings: refused("idmapped mounts are", {
      since: "1.1",
      shape: "[]{containerID hostID size}",
    }),
  }),
  (mount, at, warnings) => {
    const parsed = parseMountOptions(mount.options, mount.type, at, warnings);
    if (parsed.bind && mount.source === undefined) {
      throw new ValidationError(`${at}.source`, "is required for a bind mount");
    }
    // config.md: a mount is a bind mount by its options; a filesystem named "bind" does not exist.
    const needsType = !parsed.bind && !mount.options.includes("remount");
    if (needsType && (mount.type === undefined || mount.type === "bind")) {
      throw new ValidationError(
        `${at}.type`,
        `must be a filesystem unless the options contain bind or rbind, got ${preview(mount.type)}`,
      );
    }
    return { ...mount, parsed };
  },
);

/** One hook. */
export const HOOK = object({
  path: required(absolutePath),
  args: defaulted(array(string), []),
  env: defaulted(array(string), []),
  timeout: optional(integer("int", 1, 2 ** 31 - 1), { note: "seconds" }),
});

const HOOK_LIST = array(HOOK);

/** `hooks`. */
export const HOOKS = object({
  prestart: defaulted(HOOK_LIST, []),
  createRuntime: defaulted(HOOK_LIST, [], { since: "1.0.2" }),
  createContainer: defaulted(HOOK_LIST, [], { since: "1.0.2" }),
  startContainer: defaulted(HOOK_LIST, [], { since: "1.0.2" }),
  poststart: defaulted(HOOK_LIST, []),
  poststop: defaulted(HOOK_LIST, []),
});

/** All of config.json in version 1.3 of the specification, in the order of specs-go/config.go. */
export const SPEC = object({
  ociVersion: required(checked(string, checkOciVersion), { note: "1.0.0 to 1.3.x" }),
  process: required(PROCESS),
  root: required(ROOT),
  hostname: optional(string, { note: "at most 64 bytes; needs a uts namespace" }),
  domainname: optional(string, {
    since: "1.1",
    note: "at most 64 bytes; needs a uts namespace",
  }),
  mounts: defaulted(array(MOUNT), []),
  hooks: defaulted(HOOKS, {}),
  annotations: defaulted(map(string), {}),
  linux: defaulted(LINUX, {}),
  solaris: foreign("Solaris", {
    shape: "{milestone limitpriv maxShmMemory anet[]{linkname lowerLink allowedAddress " +
      "configureAllowedAddress defrouter linkProtection macAddress} cappedCPU{ncpus} " +
      "cappedMemory{physical swap}}",
  }),
  windows: foreign("Windows", {
    shape: "{layerFolders[] devices[]@1.0.2{id idType} resources{memory{limit} " +
      "cpu{count shares maximum affinity[]@1.2.1{mask group}} storage{iops bps sandboxSize}} " +
      "credentialSpec servicing ignoreFlushesDuringBoot hyperv{utilityVMPath} " +
      "network{endpointList[] allowUnqualifiedDNSQuery DNSSearchList[] " +
      "networkSharedContainerName networkNamespace@1.0.2}}",
  }),
  vm: refused("virtual machines by the `vm` section are", {
    since: "1.0.2",
    shape: "{hypervisor{path parameters[]} kernel{path parameters[] initrd} image{path format} " +
      "hwconfig@1.3{deviceTree vcpus memory dtdevs[] iomems[]{firstGFN firstMFN nrMFNs} irqs[]}}",
  }),
  zos: foreign("z/OS", { since: "1.1", shape: "{namespaces[]@1.2.1{type path}}" }),
  freebsd: foreign("FreeBSD", {
    since: "1.3",
    shape: "{devices[]{path mode} jail{parent host ip4 ip4Addr[] ip6 ip6Addr[] vnet interface " +
      "vnetInterfaces[] sysvmsg sysvsem sysvshm enforceStatfs allow{setHostname rawSockets " +
      "chflags mount[] quotas socketAf mlock reservedPorts suser}}}",
  }),
});
