import { Host } from "../../ffi/host.ts";
import type { Carriers } from "../../ffi/remote.ts";
import type { Globals } from "../cli/command.ts";
import { hostThread, useThread } from "./host_thread.ts";

let carriers: Carriers | undefined;

/** The carriers of this run of belay: this thread, and stubs. */
export function hostCarriers({ root }: Globals): Carriers {
  return carriers ??= new Host(root, hostThread());
}

/** Puts other carriers in their place: for tests that break calls on purpose. */
export function useCarriers(others: Carriers): void {
  carriers = others;
  useThread(others.thread);
}
