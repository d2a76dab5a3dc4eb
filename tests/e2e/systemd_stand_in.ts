// A program in systemd's place on a bus, for tests of --systemd-cgroup where no systemd runs. It owns systemd's name,
// writes every call down, makes and removes the cgroups of units, moves processes into them, and tells of its jobs.
//
//   deno run -A systemd_stand_in.ts '{"socket":…,"record":…,"controlGroup":…,"mounts":[…]}'
//
// It is no systemd: it knows of units what belay's calls are about, and of their properties nothing.
import { type DbusValue, Variant } from "../../ffi/dbus/encode.ts";
import {
  dbusLength,
  type DbusMessage,
  decodeDbus,
  encodeDbus,
  MESSAGE,
} from "../../ffi/dbus/message.ts";

/** How it behaves. */
export interface StandIn {
  /** The bus's socket. */
  readonly socket: string;
  /** The file that gets a line of JSON for each call. */
  readonly record: string;
  /** The cgroup below which its units are. */
  readonly controlGroup: string;
  /** The hierarchies in which it makes cgroups, by their mount points. */
  readonly mounts: readonly string[];
  /** What jobs end as, if not "done". */
  readonly result?: string;
  /** Units that are there from the start. */
  readonly units?: readonly string[];
  /** It takes no changes of properties. */
  readonly deaf?: true;
  /** It moves no process. */
  readonly lazy?: true;
  /** It is a user's: the cgroups that it makes are this user's. */
  readonly owner?: readonly [uid: number, gid: number];
  /** It forgets units that have no process any more, as systemd does. */
  readonly collects?: true;
}

const SYSTEMD = "org.freedesktop.systemd1";
const ROOT = "/org/freedesktop/systemd1";

interface Unit {
  readonly description: string;
  readonly paths: readonly string[];
}

/** A refusal, in the service's words. */
class Refusal extends Error {
  constructor(override readonly name: string, words: string) {
    super(words);
  }
}

class Service {
  #serial = 0;
  #jobs = 0;
  readonly #units = new Map<string, Unit>();

  constructor(private readonly connection: Deno.Conn, private readonly options: StandIn) {
    for (const name of options.units ?? []) {
      this.#units.set(name, { description: "another's", paths: [] });
    }
    for (const mount of options.owner === undefined ? [] : options.mounts) {
      Deno.mkdirSync(mount + options.controlGroup);
    }
  }

  async send(message: Omit<DbusMessage, "serial">): Promise<void> {
    const bytes = encodeDbus({ ...message, serial: ++this.#serial });
    for (let at = 0; at < bytes.length;) at += await this.connection.write(bytes.subarray(at));
  }

  /** Answers a call, and then does what is to happen after the answer. */
  async serve(call: DbusMessage): Promise<void> {
    const { member = "", body, sender, serial } = call;
    const shown = JSON.stringify({ member, body }, plain);
    Deno.writeTextFileSync(this.options.record, `${shown}\n`, { append: true });
    const reply = { replySerial: serial, ...(sender === undefined ? {} : { destination: sender }) };
    try {
      const { signature = "", body: answer = [], job } = await this.#answer(call);
      await this.send({ type: MESSAGE.RETURN, ...reply, signature, body: answer });
      if (job !== undefined) await this.#ended(job);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      const told = { errorName: error.name, signature: "s", body: [error.message] };
      await this.send({ type: MESSAGE.ERROR, ...reply, ...told });
    }
  }

  async #answer({ member, path = "", body }: DbusMessage): Promise<{
    readonly signature?: string;
    readonly body?: readonly DbusValue[];
    /** The unit whose job it was. */
    readonly job?: readonly [path: string, unit: string];
  }> {
    const unit = String(body[0]);
    const job = () => {
      const at = `${ROOT}/job/${++this.#jobs}`;
      return { signature: "o", body: [at], job: [at, unit] as const };
    };
    switch (member) {
      case "Get":
        return { signature: "v", body: [new Variant("s", this.#property(path, String(body[1])))] };
      case "Subscribe":
        return {};
      case "GetUnit":
        this.#unit(unit);
        return { signature: "o", body: [`${ROOT}/unit/${hex(unit)}`] };
      case "StartTransientUnit":
        this.#start(unit, body[2] as [string, Variant][]);
        return job();
      case "StopUnit":
        await this.#stop(unit);
        return job();
      case "ResetFailedUnit":
        this.#unit(unit); // none ever fails here
        return {};
      case "AttachProcessesToUnit":
        this.#attach(unit, body[2] as number[]);
        return {};
      case "SetUnitProperties":
        this.#unit(unit);
        if (this.options.deaf) throw new Refusal(`${SYSTEMD}.PropertyReadOnly`, "it is deaf");
        return {};
    }
    throw new Refusal("org.freedesktop.DBus.Error.UnknownMethod", `no ${member}`);
  }

  #property(path: string, name: string): string {
    if (name === "Version") return "252.38-1~deb12u1";
    if (name === "ControlGroup") return this.options.controlGroup;
    const unit = [...this.#units].find(([name]) => path === `${ROOT}/unit/${hex(name)}`);
    if (name === "Description" && unit !== undefined) return unit[1].description;
    throw new Refusal("org.freedesktop.DBus.Error.UnknownObject", `no ${path}`);
  }

  #unit(name: string): Unit {
    const unit = this.#units.get(name);
    if (unit !== undefined) return unit;
    throw new Refusal(`${SYSTEMD}.NoSuchUnit`, `Unit ${name} not loaded.`);
  }

  #start(name: string, properties: readonly [string, Variant][]): void {
    if (this.#units.has(name)) throw new Refusal(`${SYSTEMD}.UnitExists`, `Unit ${name} exists.`);
    const value = (of: string) => properties.find(([each]) => each === of)?.[1].value;
    const { mounts, controlGroup } = this.options;
    const slices = String(value("Slice")).replace(/\.slice$/, "").split("-");
    const path = slices.map((_, i) => `${slices.slice(0, i + 1).join("-")}.slice`).join("/");
    const paths = mounts.map((mount) => `${mount}${controlGroup}/${path}/${name}`);
    this.#units.set(name, { description: String(value("Description")), paths });
    for (const each of paths) {
      Deno.mkdirSync(each, { recursive: true });
      if (this.options.owner !== undefined) give(each, this.options.owner);
    }
    if (this.options.lazy) return;
    try {
      this.#attach(name, value("PIDs") as number[]);
    } catch (error) {
      this.#forget(name); // whoever asked was killed meanwhile
      throw error;
    }
  }

  #attach(name: string, pids: readonly number[]): void {
    for (const path of this.#unit(name).paths) {
      for (const pid of pids) {
        try {
          Deno.writeTextFileSync(`${path}/cgroup.procs`, String(pid));
        } catch {
          throw new Refusal(`${SYSTEMD}.UnixProcessIdUnknown`, `There is no process ${pid}.`);
        }
      }
    }
  }

  /** As systemd does: ends who is in it, and removes its cgroups. */
  async #stop(name: string): Promise<void> {
    const { paths } = this.#unit(name);
    for (const path of paths) {
      for (let tries = 0; inside(path).length > 0 && tries < 500; tries++) {
        for (const pid of inside(path)) unlessGone(() => Deno.kill(pid, "SIGKILL"));
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    }
    this.#forget(name);
  }

  #forget(name: string): void {
    for (const path of this.#units.get(name)?.paths ?? []) unlessGone(() => Deno.removeSync(path));
    this.#units.delete(name);
  }

  /** Forgets the units without processes. */
  collect(): void {
    for (const [name, { paths }] of this.#units) {
      if (paths.every((path) => inside(path).length === 0)) this.#forget(name);
    }
  }

  async #ended([job, unit]: readonly [string, string]): Promise<void> {
    const signal = { path: ROOT, interface: `${SYSTEMD}.Manager`, member: "JobRemoved" };
    const of = (job: string, unit: string, result: string) =>
      this.send({
        ...{ type: MESSAGE.SIGNAL, ...signal, signature: "uoss" },
        body: [7, job, unit, result],
      });
    await of(`${ROOT}/job/0`, "another.service", "failed"); // others' jobs are told, too
    await of(job, unit, this.options.result ?? "done");
  }
}

/** A user's systemd makes cgroups as that user. */
function give(path: string, [uid, gid]: readonly [number, number]): void {
  Deno.chownSync(path, uid, gid);
  for (const { name } of Deno.readDirSync(path)) Deno.chownSync(`${path}/${name}`, uid, gid);
}

function inside(path: string): number[] {
  return unlessGone(() => Deno.readTextFileSync(`${path}/cgroup.procs`))?.split("\n")
    .filter((line) => line !== "").map(Number) ?? [];
}

function unlessGone<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    if (error instanceof TypeError) return undefined; // Deno's name for ESRCH
    throw error;
  }
}

function hex(name: string): string {
  return [...new TextEncoder().encode(name)].map((byte) => `_${byte.toString(16)}`).join("");
}

function plain(_: string, value: unknown): unknown {
  if (typeof value === "bigint") return String(value);
  return value instanceof Uint8Array ? [...value] : value;
}

/** The messages that come, one after another. */
async function* messages(connection: Deno.Conn): AsyncGenerator<DbusMessage> {
  let pending = new Uint8Array(0);
  const chunk = new Uint8Array(8192);
  for (;;) {
    const length = dbusLength(pending);
    if (length !== undefined && length <= pending.length) {
      yield decodeDbus(pending.slice(0, length));
      pending = pending.slice(length);
      continue;
    }
    const count = await connection.read(chunk);
    if (count === null) return;
    pending = new Uint8Array([...pending, ...chunk.subarray(0, count)]);
  }
}

/** For a dbus-daemon of a test's own. */
export function busConfiguration(socket: string): string {
  return `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path=${socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow own="*"/>
    <allow send_destination="*"/>
    <allow receive_sender="*"/>
    <allow user="*"/>
  </policy>
</busconfig>
`;
}

async function main(options: StandIn): Promise<void> {
  const connection = await Deno.connect({ transport: "unix", path: options.socket });
  const write = (text: string) => connection.write(new TextEncoder().encode(text));
  const uid = [...String(Deno.uid())].map((digit) => digit.charCodeAt(0).toString(16)).join("");
  await write(`\0AUTH EXTERNAL ${uid}\r\n`);
  await connection.read(new Uint8Array(512));
  await write("BEGIN\r\n");
  const service = new Service(connection, options);
  if (options.collects) setInterval(() => service.collect(), 20);
  const bus = { destination: "org.freedesktop.DBus", path: "/org/freedesktop/DBus" };
  const ask = (member: string, signature: string, body: readonly DbusValue[]) =>
    service.send({
      type: MESSAGE.CALL,
      ...bus,
      interface: bus.destination,
      member,
      signature,
      body,
    });
  await ask("Hello", "", []);
  await ask("RequestName", "su", [SYSTEMD, 4]);
  let answers = 0;
  for await (const message of messages(connection)) {
    if (message.type === MESSAGE.CALL) await service.serve(message);
    // The second answer is that the name is ours.
    if (message.type === MESSAGE.RETURN && ++answers === 2) console.log("ready");
  }
}

if (import.meta.main) await main(JSON.parse(Deno.args[0] ?? ""));
