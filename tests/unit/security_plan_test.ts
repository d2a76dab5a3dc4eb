// What is asked of a security module, of the scheduler and of a filter, and in which order: through the Recorder.
import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { ERRNO } from "../../ffi/abi/errno.ts";
import { FS_MAGIC } from "../../ffi/abi/file_flags.ts";
import { Struct } from "../../ffi/call.ts";
import { type Asked, Recorder } from "../../ffi/recorder.ts";
import { execve } from "../../ffi/syscalls/process.ts";
import { CommandError } from "../../runtime/cli/command_error.ts";
import { schedule, setAffinity } from "../../runtime/process/scheduling.ts";
import type { PreparedMount } from "../../runtime/rootfs/mounts.ts";
import { checkLabels, labelMounts, labelProcess } from "../../runtime/security/labels.ts";
import { BPF_OP, SECCOMP_RET } from "../../runtime/seccomp/run_filter.ts";
import { execFiltered } from "../../runtime/seccomp/exec_filtered.ts";
import { PROCESS } from "../../runtime/spec/process_schema.ts";
import { MOUNT } from "../../runtime/spec/spec_schema.ts";
import { ValidationError } from "../../runtime/spec/validation_error.ts";

const PROFILE = { apparmorProfile: "docker-default" };
const LABEL = { selinuxLabel: "system_u:system_r:container_t:s0:c1,c2" };

/** A world with files, by path; a write to one of them may be refused, and /proc be something else. */
function world(
  files: Record<string, string>,
  refused?: number,
  proc: number = FS_MAGIC.PROC_SUPER_MAGIC,
): Recorder {
  const open = new Map<string, { path: string; read: boolean }>();
  const answer = ({ process, name, args, newFd }: Asked): number | undefined => {
    const at = `${process} ${args[0]}`;
    switch (name) {
      case "fstatfs":
        if (args[1] instanceof Struct) args[1].view().setBigInt64(0, BigInt(proc), true);
        return 0;
      case "openat2":
      case "openat": {
        if (!Object.hasOwn(files, String(args[1]))) return -ERRNO.ENOENT;
        const fd = newFd();
        open.set(`${process} ${fd}`, { path: String(args[1]), read: false });
        return fd;
      }
      case "statx":
        return Object.hasOwn(files, String(args[1])) ? 0 : -ERRNO.ENOENT;
      case "read": {
        const file = open.get(at);
        if (file === undefined || file.read || !(args[1] instanceof Struct)) return 0;
        file.read = true;
        const text = new TextEncoder().encode(files[file.path]);
        args[1].bytes.set(text);
        return text.length;
      }
      case "write":
        return refused === undefined ? undefined : -refused;
    }
    return undefined;
  };
  return new Recorder(answer);
}

function texts(recorder: Recorder): string[] {
  return recorder.calls.filter(({ name }) => name !== "close").map(({ text }) => text);
}

const APPARMOR = "/sys/module/apparmor/parameters/enabled";
const SELINUX = "/sys/fs/selinux/enforce";

Deno.test("checkLabels() names the field when the kernel has no such module", () => {
  const refusal = (files: Record<string, string>, ...args: [object, string?]) =>
    assertThrows(() => checkLabels(world(files).thread, ...args), ValidationError).field;
  assertEquals(refusal({}, PROFILE), "process.apparmorProfile");
  assertEquals(refusal({ [APPARMOR]: "N\n" }, PROFILE), "process.apparmorProfile");
  assertEquals(refusal({ [APPARMOR]: "Y\n" }, LABEL), "process.selinuxLabel");
  assertEquals(refusal({}, {}, "system_u:object_r:container_file_t:s0"), "linux.mountLabel");
  checkLabels(world({ [APPARMOR]: "Y\n" }).thread, PROFILE);
  checkLabels(world({ [SELINUX]: "1" }).thread, LABEL, "a label");
  checkLabels(world({}).thread, {});
});

const [OWN, OLD] = ["self/attr/apparmor/exec", "self/attr/exec"];
const PROC = { "/proc": "" };

Deno.test("labelProcess() tells the module what the next execve is to be under", () => {
  const asked = (files: Record<string, string>, what: object) => {
    const recorder = world({ ...PROC, ...files });
    labelProcess(recorder.thread, what);
    return texts(recorder).filter((text) =>
      !text.includes('"/proc"') && !text.startsWith("fstatfs")
    );
  };
  const how = "{O_WRONLY|O_CLOEXEC, RESOLVE_NO_XDEV|RESOLVE_NO_MAGICLINKS|RESOLVE_BENEATH}, 24";
  assertEquals(asked({ [OWN]: "", [OLD]: "" }, PROFILE), [
    `openat2(3, "${OWN}", ${how})`,
    'write(4, "exec docker-default", 19)',
  ]);
  assertEquals(asked({ [OLD]: "" }, PROFILE), [
    `openat2(3, "${OWN}", ${how})`,
    `openat2(3, "${OLD}", ${how})`,
    'write(4, "exec docker-default", 19)',
  ]);
  assertEquals(asked({ [OLD]: "" }, LABEL), [
    `openat2(3, "${OLD}", ${how})`,
    'write(4, "system_u:system_r:container_t:s0:c1,c2", 38)',
  ]);
  assertEquals(asked({}, {}), []);
});

Deno.test("labelProcess() names the field when the profile is not known, or /proc is no procfs", () => {
  const refusal = (what: object, ...args: Parameters<typeof world>) =>
    assertThrows(() => labelProcess(world(...args).thread, what), CommandError).message;
  for (const [what, field] of [[PROFILE, "apparmorProfile"], [LABEL, "selinuxLabel"]] as const) {
    const named = `process.${field}: `;
    assertStringIncludes(refusal(what, { ...PROC, [OLD]: "" }, ERRNO.ENOENT), named);
    assertStringIncludes(refusal(what, PROC), named);
    assertStringIncludes(refusal(what, {}), named);
    const tmpfs = refusal(what, { ...PROC, [OLD]: "" }, undefined, FS_MAGIC.TMPFS_MAGIC);
    assertStringIncludes(tmpfs, "there is no procfs at /proc");
  }
});

Deno.test("labelMounts() gives the context to file systems that take one at the mount", () => {
  const mount = (type: string, ...options: string[]): PreparedMount => ({
    mount: MOUNT.parse({ destination: "/x", type, source: "/s", options }, "mounts[0]", []),
    field: "mounts[0]",
    kind: "directory",
  });
  const data = (...mounts: PreparedMount[]) =>
    labelMounts(mounts, "a:b:c:s0:c1,c2").map((each) => each.mount.parsed.data);
  const context = 'context="a:b:c:s0:c1,c2"';
  assertEquals(data(mount("tmpfs", "size=1k"), mount("devpts")), [["size=1k", context], [context]]);
  assertEquals(data(mount("proc"), mount("sysfs"), mount("mqueue"), mount("none", "bind")), [
    ...[[], [], [], []],
  ]);
  const untouched = [mount("tmpfs")];
  assertEquals(labelMounts(untouched, undefined), untouched);
});

const process = (more: object) =>
  PROCESS.parse({ args: ["true"], cwd: "/", ...more }, "process", []);

Deno.test("schedule() asks for the policy and the priority as they are", () => {
  const recorder = new Recorder();
  const scheduler = {
    ...{ policy: "SCHED_DEADLINE", flags: ["SCHED_FLAG_RECLAIM", "SCHED_FLAG_DL_OVERRUN"] },
    ...{ nice: 0, runtime: 10, deadline: 20, period: 30 },
  };
  const ioPriority = { class: "IOPRIO_CLASS_BE", priority: 3 };
  schedule(recorder.thread, process({ scheduler, ioPriority }));
  assertEquals(texts(recorder), [
    "sched_setattr(0, {SCHED_DEADLINE, SCHED_FLAG_RECLAIM|SCHED_FLAG_DL_OVERRUN, nice 0, priority 0, 10/20/30 ns}, 0)",
    "ioprio_set(IOPRIO_WHO_PROCESS, 0, 16387)",
  ]);
  schedule(recorder.thread, process({}));
  assertEquals(recorder.calls.length, 2);
});

Deno.test("setAffinity() makes a mask of whole words, and names the half when it cannot be had", () => {
  const masks: number[][] = [];
  const recorder = new Recorder(({ args }) => {
    if (args[2] instanceof Uint8Array) masks.push([...args[2]]);
    return masks.length > 2 ? -ERRNO.EINVAL : 0;
  });
  setAffinity(recorder.thread, "initial", "0-2,9");
  setAffinity(recorder.thread, "initial", "63,64");
  assertEquals(masks, [[7, 2, 0, 0, 0, 0, 0, 0], [
    ...Array(7).fill(0),
    128,
    1,
    ...Array(7).fill(0),
  ]]);
  const refused = () => setAffinity(recorder.thread, "final", "5");
  assertStringIncludes(
    assertThrows(refused, CommandError).message,
    "process.execCPUAffinity.final",
  );
  for (const list of ["3-1", "8192", "x", "0-8191,9000"]) {
    const error = assertThrows(
      () => process({ execCPUAffinity: { final: list } }),
      ValidationError,
    );
    assertEquals(error.field, "process.execCPUAffinity.final");
  }
});

Deno.test("execFiltered() installs the filter just before execve, and sends the listener in between", () => {
  const recorder = new Recorder(({ name, args }) =>
    name === "sendmsg" && args[1] instanceof Struct ? stateSize(args[1]) : undefined
  );
  const stub = recorder.spawn("init");
  const filtering = {
    ...{ flags: 2, filter: answering(SECCOMP_RET.ALLOW) },
    container: { ociVersion: "1.3.0", id: "c", status: "created" as const, bundle: "/b" },
  };
  const calls = [execve("/bin/true", ["true"], [])];
  execFiltered(recorder.thread, stub, calls, filtering);
  assertEquals(recorder.calls.map(({ process, text }) => `${process}: ${text}`), [
    "init: seccomp(SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_LOG, {1 instructions})",
    'init: execve("/bin/true", ["true"], [])',
  ]);
  const listening = { ...filtering, listener: { path: "/run/agent" } };
  // Its own copy is closed where the filter lets it: then nobody but the agent has the listener.
  for (const action of [SECCOMP_RET.ALLOW, SECCOMP_RET.USER_NOTIF]) {
    recorder.calls.length = 0;
    execFiltered(recorder.thread, stub, calls, { ...listening, filter: answering(action) });
    assertEquals(recorder.calls.map(({ process, name }) => `${process}: ${name}`), [
      ...["belay: socket", "belay: openat", "belay: setsockopt", "belay: connect", "belay: close"],
      ...["init: openat", "init: close"],
      ...["init: seccomp", "init: sendmsg", "belay: sendmsg", "belay: close", "belay: close"],
      ...action === SECCOMP_RET.ALLOW ? ["init: close"] : [],
      "init: execve",
    ]);
  }
});

/** A filter of one instruction, with one answer to everything. */
function answering(action: number): Uint8Array {
  const code = new DataView(new ArrayBuffer(8));
  code.setUint16(0, BPF_OP.RET_K, true);
  code.setUint32(4, action, true);
  return new Uint8Array(code.buffer);
}

/** How long the text of a message is: the second field of its only vector. */
function stateSize(header: Struct): number {
  const vector = header.fields.find(([offset]) => offset === 16)?.[2];
  const length = vector instanceof Struct ? vector.fields.find(([offset]) => offset === 8)?.[2] : 0;
  return Number(length);
}
