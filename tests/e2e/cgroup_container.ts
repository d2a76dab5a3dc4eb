// A container as far as it is a cgroup with a first process, for tests of runtime/cgroup/ on real cgroups.
import { assertThrows } from "@std/assert";
import type { Remote } from "../../ffi/remote.ts";
import { CLONE } from "../../ffi/abi/process_flags.ts";
import { AT_FDCWD, O } from "../../ffi/abi/file_flags.ts";
import { SIGNAL } from "../../ffi/abi/signals.ts";
import { close, openat } from "../../ffi/syscalls/file.ts";
import { Cgroup } from "../../runtime/cgroup/cgroup.ts";
import { type CgroupWorld, readCgroupWorld } from "../../runtime/cgroup/cgroup_mounts.ts";
import { type CgroupEntry, destroyCgroups } from "../../runtime/cgroup/destroy_cgroups.ts";
import { enterCalls, intoCall } from "../../runtime/cgroup/enter_cgroup.ts";
import { signalCgroup } from "../../runtime/cgroup/processes.ts";
import { parseSpec } from "../../runtime/spec/parse_spec.ts";
import { defaultSpec } from "../../runtime/spec/default_spec.ts";
import { host, thread } from "../ffi_world.ts";

/** What of a config.json concerns cgroups, and where to do it. */
export interface Wanted {
  readonly id: string;
  readonly resources?: object;
  readonly cgroupsPath?: string;
  /** This machine when absent. */
  readonly world?: CgroupWorld;
}

/** Makes the directories. */
export function create(
  { id, resources, cgroupsPath, world = readCgroupWorld(thread) }: Wanted,
): { cgroup: Cgroup; entries: CgroupEntry[] } {
  const config = defaultSpec() as { linux: Record<string, unknown> };
  config.linux.resources = resources;
  config.linux.cgroupsPath = cgroupsPath;
  const plan = Cgroup.plan(parseSpec(config).spec, id, world);
  const entries: CgroupEntry[] = [];
  const cgroup = Cgroup.create(thread, plan, { record: (more) => entries.push(...more) });
  return { cgroup, entries };
}

/**
 * Does something with a container's first process, made as `belay create` makes one; then ends it and its cgroup,
 * and checks that no directory is left.
 */
export function withContainer(wanted: Wanted, use: (init: Remote, cgroup: Cgroup) => void): void {
  const { cgroup, entries } = create(wanted);
  const stub = host.spawn("test");
  let init: Remote | undefined;
  try {
    stub.batch(enterCalls(cgroup.directories));
    const into = intoCall(cgroup.directories);
    const fd = into && stub.call(into);
    init = stub.clone("init", {
      // An addition: CLONE_INTO_CGROUP is past the 32 bits of JavaScript's |.
      flags: CLONE.CLONE_PARENT + (fd === undefined ? 0 : CLONE.CLONE_INTO_CGROUP),
      ...(fd === undefined ? {} : { cgroup: fd }),
    });
    end(stub); // as a zombie it would count against pids.max
    cgroup.limit(thread);
    use(init, cgroup);
  } finally {
    end(stub);
    signalCgroup(thread, cgroup.directories, SIGNAL.SIGKILL);
    if (init !== undefined) end(init);
    destroyCgroups(thread, entries);
  }
  for (const { path } of entries) {
    assertThrows(() => Deno.statSync(path), Deno.errors.NotFound, undefined, path);
  }
}

const ended = new WeakSet<Remote>();

/** Lets a stub go and reaps it; twice is harmless. */
export function end(stub: Remote): void {
  if (ended.has(stub)) return;
  ended.add(stub);
  stub[Symbol.dispose]();
  stub.pidfd.reap();
  stub.pidfd[Symbol.dispose]();
}

/** Opens a file in the container, and closes it. */
export function open(init: Remote, path: string, flags: number = O.O_RDWR): void {
  init.call(close(init.call(openat(AT_FDCWD, path, flags))));
}

/** The content of a file of the container's cgroup, in the hierarchy of a controller. */
export function fileOf(cgroup: Cgroup, controller: string, file: string): string {
  const directory = cgroup.directories.find(({ controllers }) => controllers.includes(controller));
  return Deno.readTextFileSync(`${directory?.path}/${file}`).trim();
}
