import { assert, assertEquals, assertThrows } from "@std/assert";
import * as mnt from "../../ffi/abi/mount_flags.ts";
import { type MountOptions, parseMountOptions } from "../../runtime/spec/mount_options.ts";
import { ValidationError } from "../../runtime/spec/validation_error.ts";
import { parsed, refuses } from "./spec_expect.ts";

const NOTHING: MountOptions = {
  bind: false,
  recursiveBind: false,
  set: 0,
  clear: 0,
  recursiveSet: 0,
  recursiveClear: 0,
  flags: 0,
  propagation: [],
  data: [],
  tmpcopyup: false,
};

/** Expects that `options` ask for exactly `wanted`. */
function asks(options: string, wanted: Partial<MountOptions>, type = "tmpfs"): void {
  const list = options === "" ? [] : options.split(",");
  assertEquals(parseMountOptions(list, type, "mounts[0]"), { ...NOTHING, ...wanted }, options);
}

Deno.test("parseMountOptions() knows every option of specification 1.3", () => {
  const file = new URL("testdata/spec-1.3-mount-options.txt", import.meta.url);
  const options = Deno.readTextFileSync(file).trimEnd().split("\n");
  assertEquals(options.length, 61);
  for (const option of options) {
    if (option === "idmap" || option === "ridmap") continue;
    const { data, ...effects } = parseMountOptions([option], "tmpfs", "mounts[0]");
    assertEquals(data, [], option);
    // Undoing a flag of the filesystem, when nothing set it, is the only thing without a trace.
    const isUndoing = /^(async|loud|no(iversion|lazytime|mand)|defaults)$/.test(option);
    const { data: _, ...nothing } = NOTHING;
    const hasEffect = JSON.stringify(effects) !== JSON.stringify(nothing);
    assert(hasEffect || isUndoing, `${option} asks for nothing`);
  }
});

Deno.test("parseMountOptions() refuses idmap and ridmap and names the option", () => {
  for (const option of ["idmap", "ridmap"]) {
    const error = assertThrows(
      () => parseMountOptions(["bind", option], undefined, "mounts[7]"),
      ValidationError,
      "not supported yet",
    );
    assertEquals(error.field, "mounts[7].options[1]");
  }
});

Deno.test("parseMountOptions() gives attributes in both of the kernel's forms", () => {
  asks("", {});
  asks("defaults", {});
  asks("nosuid,nodev,noexec,ro", {
    set: mnt.MOUNT_ATTR_NOSUID | mnt.MOUNT_ATTR_NODEV | mnt.MOUNT_ATTR_NOEXEC |
      mnt.MOUNT_ATTR_RDONLY,
    flags: mnt.MS_NOSUID | mnt.MS_NODEV | mnt.MS_NOEXEC | mnt.MS_RDONLY,
  });
  asks("nosymfollow,nodiratime", {
    set: mnt.MOUNT_ATTR_NOSYMFOLLOW | mnt.MOUNT_ATTR_NODIRATIME,
    flags: mnt.MS_NOSYMFOLLOW | mnt.MS_NODIRATIME,
  });
  asks("rw,suid", { clear: mnt.MOUNT_ATTR_RDONLY | mnt.MOUNT_ATTR_NOSUID });
});

Deno.test("parseMountOptions() lets the later of two opposites win", () => {
  asks("ro,rw", { clear: mnt.MOUNT_ATTR_RDONLY });
  asks("rw,ro", { set: mnt.MOUNT_ATTR_RDONLY, flags: mnt.MS_RDONLY });
  asks("sync,async", {});
  asks("async,sync", { flags: mnt.MS_SYNCHRONOUS });
});

Deno.test("parseMountOptions() treats the access time as one setting of three values", () => {
  const time = (attr: number, ms: number): Partial<MountOptions> => ({
    set: attr,
    clear: mnt.MOUNT_ATTR__ATIME,
    flags: ms,
  });
  const noatime = time(mnt.MOUNT_ATTR_NOATIME, mnt.MS_NOATIME);
  const strictatime = time(mnt.MOUNT_ATTR_STRICTATIME, mnt.MS_STRICTATIME);
  const relatime = time(mnt.MOUNT_ATTR_RELATIME, mnt.MS_RELATIME);
  asks("noatime", noatime);
  asks("strictatime", strictatime);
  asks("relatime", relatime);
  asks("noatime,strictatime", strictatime);
  asks("strictatime,noatime", noatime);
  asks("noatime,relatime", relatime);
  asks("noatime,atime", relatime);
  asks("strictatime,nostrictatime", relatime);
  asks("noatime,nostrictatime", noatime);
  asks("noatime,norelatime", noatime);
  asks("strictatime,atime", strictatime);
});

Deno.test("parseMountOptions() keeps recursive attributes apart", () => {
  asks("rro,rrw,rnosuid,ro", {
    set: mnt.MOUNT_ATTR_RDONLY,
    flags: mnt.MS_RDONLY,
    recursiveSet: mnt.MOUNT_ATTR_NOSUID,
    recursiveClear: mnt.MOUNT_ATTR_RDONLY,
  });
  asks("rnoatime", {
    recursiveSet: mnt.MOUNT_ATTR_NOATIME,
    recursiveClear: mnt.MOUNT_ATTR__ATIME,
  });
  asks("rnoatime,rrelatime", { recursiveClear: mnt.MOUNT_ATTR__ATIME });
  asks("rstrictatime,rnostrictatime", { recursiveClear: mnt.MOUNT_ATTR__ATIME });
  asks("rnosymfollow,rsymfollow", { recursiveClear: mnt.MOUNT_ATTR_NOSYMFOLLOW });
});

Deno.test("parseMountOptions() keeps propagation in order and with its reach", () => {
  asks("rslave,shared", {
    propagation: [mnt.MS_SLAVE | mnt.MS_REC, mnt.MS_SHARED],
  });
});

Deno.test("parseMountOptions() leaves unknown options to the filesystem, in order", () => {
  asks("nosuid,size=64k,mode=755,rsize=1,,constructor", {
    set: mnt.MOUNT_ATTR_NOSUID,
    flags: mnt.MS_NOSUID,
    data: ["size=64k", "mode=755", "rsize=1", "constructor"],
  });
});

Deno.test("parseMountOptions() gathers the flags of the filesystem", () => {
  asks("sync,dirsync,lazytime,mand,iversion,silent,remount", {
    flags: mnt.MS_SYNCHRONOUS | mnt.MS_DIRSYNC | mnt.MS_LAZYTIME | mnt.MS_MANDLOCK |
      mnt.MS_I_VERSION | mnt.MS_SILENT | mnt.MS_REMOUNT,
  });
});

Deno.test("parseMountOptions() knows a bind mount by its options alone", () => {
  asks("bind,rprivate", { bind: true, propagation: [mnt.MS_PRIVATE | mnt.MS_REC] }, "none");
  asks("rbind,bind", { bind: true, recursiveBind: true }, "tmpfs");
  asks("", {}, "bind");
});

Deno.test("parseMountOptions() warns of an option when it can have no effect", () => {
  const warningsOf = (options: string[], type: string): string[] => {
    const warnings: string[] = [];
    parseMountOptions(options, type, "mounts[2]", warnings);
    return warnings;
  };
  assertEquals(warningsOf(["bind", "size=1k", "ro", "sync", "rw", "loud"], "bind"), [
    'mounts[2].options[1]: "size=1k" has no effect on a bind mount',
    'mounts[2].options[3]: "sync" has no effect on a bind mount',
  ]);
  assertEquals(warningsOf(["tmpcopyup"], "proc"), [
    'mounts[2].options[0]: "tmpcopyup" has an effect on a tmpfs only',
  ]);
  assertEquals(warningsOf(["tmpcopyup", "size=1k", "sync"], "tmpfs"), []);
});

Deno.test("parseSpec() attaches the parsed options to each mount", () => {
  const { spec } = parsed((c) =>
    c.mounts = [{ destination: "/x", type: "tmpfs", options: ["ro"] }]
  );
  assertEquals(spec.mounts[0]?.parsed.set, mnt.MOUNT_ATTR_RDONLY);
  assertEquals(spec.mounts[0]?.options, ["ro"]);
});

Deno.test("parseSpec() makes a relative destination absolute, with a warning", () => {
  const { spec, warnings } = parsed((c) => c.mounts[0].destination = "proc");
  assertEquals(spec.mounts[0]?.destination, "/proc");
  assertEquals(warnings, [
    'mounts[0].destination: "proc" is relative, which is deprecated; "/" is meant',
  ]);
});

Deno.test("parseSpec() refuses a mount that lacks what mount(2) needs", () => {
  const mount = (fields: object) => (c: { mounts: unknown[] }): void => {
    c.mounts[0] = { destination: "/x", ...fields };
  };
  refuses(mount({ options: ["bind"] }), "mounts[0].source: is required for a bind mount");
  refuses(
    mount({ type: "bind", source: "/x" }),
    'mounts[0].type: must be a filesystem unless the options contain bind or rbind, got "bind"',
  );
  refuses(
    mount({ source: "/x" }),
    "mounts[0].type: must be a filesystem unless the options contain bind or rbind, got nothing",
  );
  refuses(mount({ destination: "" }), "mounts[0].destination: must not be empty");
  parsed(mount({ options: ["remount", "ro"] }));
});
