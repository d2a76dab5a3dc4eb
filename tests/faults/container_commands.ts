// Command lines on a container, and what has to come before them.
import type { ContainerStep } from "./scenarios.ts";

/** What came before a command for it to make sense. */
export const BEFORE: Readonly<Record<ContainerStep, readonly ContainerStep[]>> = {
  "create": [],
  "start": ["create"],
  "kill": ["create", "start"],
  "kill --all": ["create", "start"],
  "delete": ["create", "start", "kill"],
  "delete --force": ["create", "start"],
  "run": [],
  "run --detach": [],
  "exec": ["create", "start"],
  "exec --tty": ["create", "start"],
  "exec --detach": ["create", "start"],
  "exec --detach --tty": ["create", "start"],
  "ps": ["create", "start"],
  "ps -f json": ["create", "start"],
  "events": ["create", "start"],
  "events --stats": ["create", "start"],
  "state": ["create", "start"],
  "list": ["create", "start"],
  "features": [],
  "pause": ["create", "start"],
  "resume": ["create", "start", "pause"],
  "update": ["create", "start"],
  "update --resources -": ["create", "start"],
};

/** What the container has before an `update`, and what it asks for. */
export const UPDATE = {
  old: { memory: 64 << 20, pids: 50 },
  new: { memory: 32 << 20, pids: 20 },
} as const;

/** What `update --resources -` reads. */
export const UPDATE_INPUT = JSON.stringify({
  memory: { limit: UPDATE.new.memory },
  pids: { limit: UPDATE.new.pids },
});

/** What the command lines of one walk name. */
export interface Surroundings {
  readonly id: string;
  /** The bundles of a container that stays, and of one that ends at once. */
  readonly bundles: Readonly<Record<"sleep" | "true", string>>;
  readonly pidFile: string;
  /** Where terminals are sent; absent: the container has none. */
  readonly consoleSocket?: string | undefined;
  /** Where processes are sent; absent: nowhere. */
  readonly pidfdSocket?: string | undefined;
}

/** A step's command and its arguments. */
export function commandOf(step: ContainerStep, names: Surroundings): string[] {
  const { id, bundles, pidFile, consoleSocket, pidfdSocket } = names;
  const words = step.split(" ");
  const flags = [
    ...pidfdSocket === undefined ? [] : ["--pidfd-socket", pidfdSocket],
    ...["--pid-file", pidFile],
  ];
  const console = consoleSocket === undefined ? [] : ["--console-socket", consoleSocket];
  switch (step) {
    case "create":
    case "run --detach":
      return [...words, "--bundle", bundles.sleep, ...flags, ...console, id];
    case "run":
      return ["run", "--bundle", bundles.true, ...flags, id];
    case "kill":
      return ["kill", id, "KILL"];
    case "kill --all":
      return ["kill", "--all", id, "KILL"];
    case "update":
      return [
        ...["update", "--memory", String(UPDATE.new.memory)],
        ...["--pids-limit", String(UPDATE.new.pids), id],
      ];
    case "events":
      return ["events", "--interval", "50ms", id];
    case "exec --detach --tty":
      return [...words, ...flags, ...console, id, "/bin/true"];
    case "exec":
    case "exec --tty":
    case "exec --detach":
      return [...words, ...flags, id, "/bin/true"];
    case "features":
    case "list":
      return [step];
    default:
      return [...words, id];
  }
}
