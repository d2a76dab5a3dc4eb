import type { Kernel } from "../../ffi/kernel.ts";
import { DbusConnection, DbusError } from "../../ffi/dbus/connection.ts";
import { type DbusValue, Variant } from "../../ffi/dbus/encode.ts";
import { CgroupError } from "../cgroup/cgroup_error.ts";
import type { UnitProperties } from "./unit_properties.ts";

const SYSTEMD = "org.freedesktop.systemd1";
const MANAGER = `${SYSTEMD}.Manager`;
const PATH = "/org/freedesktop/systemd1";
/** How long a job may take: what it starts and stops has no program of its own. */
const JOB_TIMEOUT_MS = 30_000;

/** What systemd says of a unit that it does not have. */
const NO_SUCH_UNIT = `${SYSTEMD}.NoSuchUnit`;

/** systemd's manager, by its interface on a bus (org.freedesktop.systemd1(5)). */
export class Manager implements Disposable {
  #listening = false;

  private constructor(private readonly bus: DbusConnection) {}

  /** @throws {DbusError} when the bus cannot be reached. */
  static open(kernel: Kernel, address: string): Manager {
    return new Manager(DbusConnection.open(kernel, address));
  }

  /** systemd's version: 252 of `252.38-1~deb12u1`. */
  version(): number {
    const version = this.#property(PATH, MANAGER, "Version");
    const [, digits] = /^(?:systemd )?v?(\d+)/.exec(String(version)) ?? [];
    if (digits === undefined) throw new CgroupError(`systemd's version is no number: ${version}`);
    return Number(digits);
  }

  /** The cgroup below which its units are: "" for the root, else it begins with a slash. */
  controlGroup(): string {
    const path = String(this.#property(PATH, MANAGER, "ControlGroup"));
    const clean = path === "/" ? "" : path;
    if (clean === "" || /^(?:\/[^/\n]+)+$/.test(clean) && !clean.split("/").includes("..")) {
      return clean;
    }
    throw new CgroupError(`systemd's own cgroup is no path: ${JSON.stringify(path)}`);
  }

  /** What a unit is described as; undefined when there is no such unit. */
  description(unit: string): string | undefined {
    const found = tolerant(() => this.#call("GetUnit", "s", [unit]));
    if (found === undefined) return undefined;
    const path = String(found[0]);
    return tolerant(() => String(this.#property(path, `${SYSTEMD}.Unit`, "Description")));
  }

  /** Starts a transient unit, and waits until it is there. @throws {CgroupError} when its job fails. */
  start(unit: string, properties: UnitProperties): void {
    this.#listen();
    const args = [unit, "replace", properties, []];
    const [job] = this.#call("StartTransientUnit", "ssa(sv)a(sa(sv))", args);
    this.#await(unit, job, "start");
  }

  /** Stops a unit, waits until it has stopped, and forgets it. One that is not there is success. */
  stop(unit: string): void {
    this.#listen();
    const stopped = tolerant(() => this.#call("StopUnit", "ss", [unit, "replace"]));
    if (stopped !== undefined) this.#await(unit, stopped[0], "stop");
    this.resetFailed(unit);
  }

  /** Forgets a unit that failed. One that is not there is success. */
  resetFailed(unit: string): void {
    tolerant(() => this.#call("ResetFailedUnit", "s", [unit]));
  }

  /** Changes a unit's properties until the next boot. */
  setProperties(unit: string, properties: UnitProperties): void {
    this.#call("SetUnitProperties", "sba(sv)", [unit, true, properties]);
  }

  /** Moves processes into a unit's cgroup (from systemd 238 on). */
  attach(unit: string, pids: readonly number[]): void {
    this.#call("AttachProcessesToUnit", "ssau", [unit, "", pids]);
  }

  /** Hangs up. */
  [Symbol.dispose](): void {
    this.bus[Symbol.dispose]();
  }

  /** From here on the ends of jobs are told. */
  #listen(): void {
    if (this.#listening) return;
    this.#listening = true;
    this.bus.match(
      `type='signal',sender='${SYSTEMD}',path='${PATH}',interface='${MANAGER}',member='JobRemoved'`,
    );
    this.#call("Subscribe");
  }

  #await(unit: string, job: DbusValue | undefined, what: string): void {
    const name = `the end of the job that is to ${what} ${unit}`;
    const { body } = this.bus.signal(
      name,
      JOB_TIMEOUT_MS,
      ({ member, body }) => member === "JobRemoved" && body[1] === job,
    );
    const result = body[3];
    if (result !== "done") {
      throw new CgroupError(`systemd could not ${what} ${unit}: its job ended as "${result}"`);
    }
  }

  #property(path: string, of: string, name: string): DbusValue {
    const properties = "org.freedesktop.DBus.Properties";
    const call = { destination: SYSTEMD, path, interface: properties, member: "Get" };
    const [value] = this.bus.call({ ...call, signature: "ss", body: [of, name] });
    if (!(value instanceof Variant)) throw new CgroupError(`systemd's ${name} is no property`);
    return value.value;
  }

  #call(member: string, signature?: string, body: readonly DbusValue[] = []) {
    const call = { destination: SYSTEMD, path: PATH, interface: MANAGER, member };
    return this.bus.call({ ...call, ...(signature === undefined ? {} : { signature, body }) });
  }
}

/** Undefined when there is no such unit: stopped ones are forgotten at once. */
function tolerant<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    const gone = error instanceof DbusError &&
      (error.errorName === NO_SUCH_UNIT ||
        error.errorName === "org.freedesktop.DBus.Error.UnknownObject");
    if (!gone) throw error;
    return undefined;
  }
}
