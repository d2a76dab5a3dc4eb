import { type Config, makeBundle } from "./bundle.ts";
import { capture } from "../step.ts";
import type { Cell } from "./screen.ts";
import type { Stage } from "./stage.ts";
import { isThere } from "../is_there.ts";

/** The first id of the host that the container's users are mapped to. */
const FIRST_HOST_ID = 100_000;

/** What a process can find out about where it is, for busybox's shell. $1 is the demo's own pid. */
const LOOK_AROUND = `
status() { sed -n "s/^$1:[ \\t]*//p" /proc/self/status; }
can() { if "$@" 2>/dev/null; then echo yes; else echo no; fi; }
say() { echo "$1|$2"; }
demo=$1
say 'its own pid' $$
say 'processes it can see' $(ls -d /proc/[0-9]* | wc -l)
say 'can signal the demo' $(can kill -0 $demo)
say 'hostname' "$(hostname)"
say 'network interfaces' "$(echo $(ls /sys/class/net))"
say 'lines in its mount table' $(wc -l </proc/self/mountinfo)
say 'uid, and who that is outside' "$(id -u), $(sed 's/ *[0-9]* *\\([0-9]*\\).*/\\1/;q' /proc/self/uid_map)"
say 'effective capabilities' "$(status CapEff)"
say 'may ever have' "$(status CapBnd)"
say 'setuid programs help it' $([ $(status NoNewPrivs) = 1 ] && echo no || echo yes)
say 'can write to /' $(can touch /.belay-demo; rm -f /.belay-demo)
say 'can write to /proc/sys' $(can sh -c ': >>/proc/sys/kernel/panic')
say 'entries in /dev' $(ls /dev | wc -l)
say 'block devices among them' $(ls -l /dev | grep -c ^b)
`;

/** The namespaces that Linux has, as /proc/PID/ns calls them, with what each one hides. */
const NAMESPACES = [
  ["pid", "other processes"],
  ["mnt", "other mounts"],
  ["net", "interfaces, routes, sockets"],
  ["uts", "the hostname"],
  ["ipc", "shared memory, message queues"],
  ["user", "who is root"],
  ["cgroup", "the cgroups above"],
  ["time", "the clock since boot"],
] as const;

/** Adds a user namespace: root inside is nobody outside. */
function withUserNamespace({ linux }: Config): void {
  linux.namespaces.push({ type: "user" });
  linux.uidMappings = [{ containerID: 0, hostID: FIRST_HOST_ID, size: 65_536 }];
  linux.gidMappings = linux.uidMappings;
}

/** Runs one script on the host and in a container, and shows the answers side by side. */
export async function showFromInside(stage: Stage, rootfs: string): Promise<void> {
  const { screen } = stage;
  screen.chapter("From inside");
  screen.say(
    "One shell script that looks around, run twice: as it is, by root, and in a container of belay's.",
  );
  const script = ["sh", "-c", LOOK_AROUND, "sh", String(Deno.pid)];
  const bundle = await makeBundle(stage, "inside", rootfs, (config) => {
    config.process.args = script;
    withUserNamespace(config);
  });
  const host = await capture(["/bin/busybox", ...script]);
  const container = await stage.quietly(bundle, "run", "inside");
  stage.report(["belay", "run", "inside"], { ...container, stdout: "" });
  const [outside, inside] = [answers(host.stdout), answers(container.stdout)];
  screen.table([
    [["", "dim"], ["on the host", "bold"], ["in the container", "bold"]],
    ...[...outside].map(([question, answer]): Cell[] => {
      const other = inside.get(question) ?? "?";
      return [[question, "dim"], answer, other === answer ? other : [other, "green"]];
    }),
  ]);
  const is = (question: string, answer: string) => inside.get(question) === answer;
  stage.expect(
    is("its own pid", "1") && is("can signal the demo", "no") && is("hostname", "inside"),
    "It is process 1 of a world of its own, and cannot reach this demo.",
  );
  stage.expect(
    is("uid, and who that is outside", `0, ${FIRST_HOST_ID}`) && is("can write to /", "no"),
    `Root in there is user ${FIRST_HOST_ID} out here, with three capabilities, on a read-only root.`,
  );
}

function answers(output: string): Map<string, string> {
  return new Map(
    output.trim().split("\n").map((line) => {
      const [question = "", answer = ""] = line.split("|");
      return [question, answer.length > 28 ? `${answer.slice(0, 27)}…` : answer];
    }),
  );
}

/** Starts a container in the background and looks at its process from the host. */
export async function showFromOutside(stage: Stage, rootfs: string): Promise<void> {
  const { screen } = stage;
  screen.chapter("From outside");
  screen.say("The same kind of container, left running; what the host knows of its process.");
  const bundle = await makeBundle(stage, "web", rootfs, (config) => {
    config.process.args = ["sleep", "1000"];
    withUserNamespace(config);
  });
  await stage.show(bundle, "run", "--detach", "web");
  await stage.showTable(bundle, "list");
  const { pid } = JSON.parse((await stage.quietly(bundle, "state", "web")).stdout);
  let own = 0;
  const rows = NAMESPACES.flatMap(([name, hides]): Cell[][] => {
    const [ours, theirs] = [namespaceOf("self", name), namespaceOf(pid, name)];
    if (ours === undefined || theirs === undefined) return []; // the kernel has none of this kind
    if (ours !== theirs) own++;
    const verdict: Cell = ours === theirs ? "the host's" : ["its own", "green"];
    return [[name, [hides, "dim"], ours, theirs, verdict]];
  });
  screen.table([
    [["namespace", "bold"], ["hides", "bold"], ["the host's", "bold"], [`of pid ${pid}`, "bold"]],
    ...rows,
  ]);
  const uid = /^Uid:\s+(\d+)/m.exec(Deno.readTextFileSync(`/proc/${pid}/status`))?.[1];
  const fds = [...Deno.readDirSync(`/proc/${pid}/fd`)].map(({ name }) => name).sort();
  screen.say(
    `It runs as uid ${uid}, as ${
      Deno.readLinkSync(`/proc/${pid}/exe`).replace(/^.*rootfs/, "")
    }, ` +
      `with the descriptors ${fds.join(", ")} and no other.`,
  );
  stage.expect(
    own >= 6 && uid === String(FIRST_HOST_ID) && fds.join() === "0,1,2",
    `${own} namespaces of its own; nothing of belay's is open in it.`,
  );
  await stage.show(bundle, "delete", "--force", "web");
  stage.expect(!isThere(`/proc/${pid}`) || isZombie(pid), "One command, and it is gone.");
}

function namespaceOf(pid: number | "self", name: string): string | undefined {
  try {
    return /\d+/.exec(Deno.readLinkSync(`/proc/${pid}/ns/${name}`))?.[0];
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** It has ended; its parent, which is this demo, has not reaped it yet. */
function isZombie(pid: number): boolean {
  return /^State:\s+Z/m.test(Deno.readTextFileSync(`/proc/${pid}/status`));
}
