// What commands on a container leave, tell and send when they have succeeded.
import type { Status } from "../../runtime/container/status.ts";
import { UPDATE } from "./container_commands.ts";
import type { ContainerStep } from "./scenarios.ts";

/** What a container is after each command that succeeded. */
export const STATUS_AFTER: Readonly<Record<ContainerStep, Status | undefined>> = {
  "create": "created",
  "start": "running",
  "kill": "stopped",
  "kill --all": "stopped",
  "delete": undefined,
  "delete --force": undefined,
  "run": undefined,
  "run --detach": "running",
  "exec": "running",
  "exec --tty": "running",
  "exec --detach": "running",
  "exec --detach --tty": "running",
  "ps": "running",
  "ps -f json": "running",
  "events": "stopped",
  "events --stats": "running",
  "state": "running",
  "list": "running",
  "features": undefined,
  "pause": "paused",
  "resume": "running",
  "update": "running",
  "update --resources -": "running",
};

/** The commands that send a terminal, and those that send a process, where somebody listens. */
export const SENDS: Readonly<Record<"console" | "pidfd", ReadonlySet<ContainerStep>>> = {
  console: new Set(["create", "run --detach", "exec --detach --tty"]),
  pidfd: new Set([
    ...["create", "run", "run --detach"] as const,
    ...["exec", "exec --tty", "exec --detach", "exec --detach --tty"] as const,
  ]),
};

/** Whether a line of `events` tells all of the container's statistics. */
export function isWhole(line: string): boolean {
  const { type, data } = JSON.parse(line);
  return type === "stats" && data.pids.limit === UPDATE.old.pids &&
    data.memory.usage.limit === UPDATE.old.memory && data.cpu.usage.total > 0 &&
    data.hugetlb !== undefined;
}

/** Of a features document what is the same whatever the kernel says; which flags it takes is the kernel's to say. */
export function featuresIn(text: string): unknown {
  const document = JSON.parse(text);
  delete document.linux.seccomp.supportedFlags;
  return document;
}
