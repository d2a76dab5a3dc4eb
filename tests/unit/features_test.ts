// The features document against docs/config.md, as a reader of both would compare them.
import { assertEquals } from "@std/assert";
import { type Features, ociFeatures } from "../../runtime/features/oci_features.ts";

// deno-lint-ignore no-explicit-any -- a document as a client sees it
type Json = any;

const seccomp = {
  libseccomp: "2.5.4",
  knowsArch: (name: string) => name !== "SCMP_ARCH_M68K",
  takesFlag: (name: string) => name !== "SECCOMP_FILTER_FLAG_LOG",
};
const document: Json = ociFeatures({ version: "1.2.3", seccomp });

const table = Deno.readTextFileSync(new URL("../../docs/config.md", import.meta.url));

/** What the table says that belay does with a field: `supported`, `refused`, ... */
function belayDoes(path: string): string | undefined {
  const row = table.split("\n").find((line) => line.startsWith(`| \`${path}\` |`));
  return row?.split("|")[4]?.trim();
}

/** The words that the table allows in a field. */
function allowed(path: string): string[] {
  const row = table.split("\n").find((line) => line.startsWith(`| \`${path}\` |`));
  return (/one of ([^;|]*)/.exec(row ?? "")?.[1] ?? "").trim().split(", ").sort();
}

Deno.test("ociFeatures() says of every feature what docs/config.md says of its fields", () => {
  const { linux } = document;
  const pairs: [boolean, string][] = [
    [linux.apparmor.enabled, "process.apparmorProfile"],
    [linux.selinux.enabled, "process.selinuxLabel"],
    [linux.selinux.enabled, "linux.mountLabel"],
    [linux.intelRdt.enabled, "linux.intelRdt"],
    [linux.memoryPolicy.enabled, "linux.memoryPolicy"],
    [linux.mountExtensions.idmap.enabled, "mounts[].uidMappings[]"],
    [linux.mountExtensions.idmap.enabled, "mounts[].gidMappings[]"],
    [linux.netDevices.enabled, "linux.netDevices.*"],
    [linux.seccomp.enabled, "linux.seccomp"],
    [linux.cgroup.rdma, "linux.resources.rdma.*"],
    [linux.cgroup.v1 && linux.cgroup.v2, "linux.resources"],
  ];
  for (const [enabled, path] of pairs) {
    assertEquals(enabled, belayDoes(path) === "supported", `${path} is ${belayDoes(path)}`);
  }
});

Deno.test("ociFeatures() lists the words and hooks that docs/config.md lists", () => {
  const { linux, hooks } = document;
  assertEquals(linux.namespaces, allowed("linux.namespaces[].type"));
  assertEquals(linux.seccomp.actions, allowed("linux.seccomp.defaultAction"));
  assertEquals(linux.seccomp.operators, allowed("linux.seccomp.syscalls[].args[].op"));
  assertEquals(linux.seccomp.knownFlags, allowed("linux.seccomp.flags[]"));
  const archs = allowed("linux.seccomp.architectures[]").filter(seccomp.knowsArch);
  assertEquals(linux.seccomp.archs, archs);
  const supported = allowed("linux.seccomp.flags[]").filter(seccomp.takesFlag);
  assertEquals(linux.seccomp.supportedFlags, supported);
  for (const hook of hooks) assertEquals(belayDoes(`hooks.${hook}[]`), "supported");
  assertEquals(hooks.length, table.match(/^\| `hooks\.\w+\[\]` /gm)?.length);
});

Deno.test("ociFeatures() lists all mount options of the specification but those refused", () => {
  const file = new URL("testdata/spec-1.3-mount-options.txt", import.meta.url);
  const specified = Deno.readTextFileSync(file).trim().split("\n");
  const missing = specified.filter((option) => !document.mountOptions.includes(option));
  assertEquals(missing, ["idmap", "ridmap"]);
});

Deno.test("ociFeatures() promises no seccomp without libseccomp", () => {
  const without: Features = ociFeatures({ version: "1.2.3", seccomp: undefined });
  assertEquals((without as Json).linux.seccomp, { enabled: false });
  assertEquals(without.annotations, { "org.belay.version": "1.2.3" });
  assertEquals(document.annotations["io.github.seccomp.libseccomp.version"], "2.5.4");
});
