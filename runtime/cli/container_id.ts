import { CommandError } from "./command_error.ts";

/** The longest id: it is one component of a path, and the kernel's NAME_MAX is 255 bytes. */
export const CONTAINER_ID_MAX_LENGTH = 255;

const ALLOWED = /^[A-Za-z0-9_+.-]+$/;

/**
 * Returns `id` when it may name a container, by runc's rule: ASCII letters, digits, `_`, `+`, `-`
 * and `.`, but neither `.` nor `..`; and at most {@linkcode CONTAINER_ID_MAX_LENGTH} characters.
 *
 * An id that has passed is safe as one component of a path.
 *
 * @throws {CommandError} "invalid container ID format" (runc's words), with the reason.
 */
export function containerId(id: string): string {
  const reason = id === ""
    ? "it is empty"
    : id.length > CONTAINER_ID_MAX_LENGTH
    ? `it is ${id.length} characters long, and ${CONTAINER_ID_MAX_LENGTH} are the most`
    : id === "." || id === ".."
    ? "it would name a directory that is already there"
    : !ALLOWED.test(id)
    ? "only letters, digits and _ + - . are allowed"
    : undefined;
  if (reason === undefined) return id;
  const shown = id.length > 60 ? `${id.slice(0, 60)}…` : id;
  throw new CommandError(`invalid container ID format: ${JSON.stringify(shown)}: ${reason}`);
}
