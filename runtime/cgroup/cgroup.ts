/**
 * A container's cgroup, from the plan to its last directory. In the order of a container's life:
 *
 *     const plan = Cgroup.plan(spec, id, readCgroupWorld(kernel));
 *     const cgroup = Cgroup.create(kernel, plan, journal);   // directories, cpuset
 *     stub.batch(enterCalls(directories));                      // v1: the stub that will clone enters by itself
 *     const into = stub.call(intoCall(directories));            // v2: for CLONE_INTO_CGROUP
 *     stub.clone(...); mounts, devices
 *     cgroup.limit(kernel);                                  // before the first hook
 *     ...
 *     signalCgroup(kernel, directories, SIGKILL);            // directories: from state.json
 *     destroyCgroups(kernel, entries);                       // entries: from the journal
 *
 * @module
 */
import type { Kernel } from "../../ffi/kernel.ts";
import type { Spec } from "../spec/types.ts";
import { applyDevices } from "./apply_devices.ts";
import type { CgroupWorld } from "./cgroup_mounts.ts";
import {
  type CgroupDirectory,
  type CgroupPlan,
  planCgroup,
  type PlannedDirectory,
} from "./cgroup_plan.ts";
import { CPUSET_FILES, inheritCpuset } from "./cpuset.ts";
import { type CgroupJournal, type Forgiving, makeDirectories } from "./make_directories.ts";
import { applySettings, checkSettings } from "./setting.ts";
import { enableControllers } from "./subtree_control.ts";

/** The cgroup of one container, in all hierarchies. */
export class Cgroup {
  /** Where the container's processes are, as it may see it: in its own directories, or in belay's where it has none. */
  readonly visible: readonly PlannedDirectory[];
  /** What state.json keeps: `signalCgroup` and `freezerState` need it. Empty for a container without a cgroup. */
  readonly directories: readonly CgroupDirectory[];

  private constructor(private readonly plan: CgroupPlan, made: readonly PlannedDirectory[]) {
    this.visible = plan.directories.map((each) =>
      made.includes(each) ? each : { ...each, path: each.own }
    );
    this.directories = made.map(({ version, controllers, path }) => ({
      version,
      controllers,
      path,
    }));
  }

  /** Where the cgroup will lie and what it will be told (`cgroup_plan.ts`). @throws {ValidationError} */
  static plan(spec: Spec, id: string, world: CgroupWorld, unitPath?: string): CgroupPlan {
    return planCgroup(spec, id, world, unitPath);
  }

  /**
   * Makes the directories, each journalled before, and readies them for the first process. When this throws, what
   * the journal has is to be destroyed.
   * @param occupant Who may be in them already: a process that systemd has put there.
   * @throws {CgroupError}
   */
  static create(
    kernel: Kernel,
    plan: CgroupPlan,
    journal: CgroupJournal,
    forgiving: Forgiving = "auto",
    occupant?: number,
  ): Cgroup {
    const made = makeDirectories(kernel, plan, journal, forgiving, occupant);
    const cpusetGiven = new Set(plan.early.map(({ file }) => file));
    for (const directory of made) {
      const { path, mountPoint, controllers } = directory;
      if (directory.version === 2) enableControllers(kernel, directory, plan);
      else if (controllers.includes("cpuset")) {
        const given = CPUSET_FILES.filter((file) => cpusetGiven.has(file));
        inheritCpuset(kernel, path.slice(0, path.lastIndexOf("/")), mountPoint, given);
        const missing = CPUSET_FILES.filter((file) => !cpusetGiven.has(file));
        inheritCpuset(kernel, path, mountPoint, missing);
      }
    }
    applySettings(kernel, plan.early);
    return new Cgroup(plan, made);
  }

  /**
   * Puts the limits and the device list in force. To be called when the container's mounts and device nodes are
   * made (a file system on a block device need not be allowed to the container), the cloning stub has been reaped
   * (it counts against pids.max, also as a zombie), and before the first hook (a hook may open more devices).
   * @throws {CgroupError} that names the field.
   */
  limit(kernel: Kernel): void {
    checkSettings(kernel, this.plan.late);
    applySettings(kernel, this.plan.late);
    const { devices } = this.plan;
    if (devices === undefined) return;
    const made = this.directories.some(({ path }) => path === devices.directory.path);
    if (made) applyDevices(kernel, devices.directory, devices.list);
  }
}
