import { ERRNO, type ErrnoName, strerror } from "../../ffi/abi/errno.ts";
import type { Hit } from "./injector.ts";

/** What is wrong with an error message, as a person would say it; nothing when it tells what failed. */
export function unclear(message: string, { call }: Hit, errno: ErrnoName): string[] {
  if (message === "") return ["it failed without a word"];
  if (/undefined|\[object|NaN|internal error|TypeError/.test(message)) {
    return [`the message is about belay and not about the failure: ${message}`];
  }
  // The call, or what was wrong with what in runc's words.
  const told = message.includes(call) || message.includes(strerror(ERRNO[errno]));
  return told ? [] : [`the message does not tell that ${call} failed: ${message}`];
}
