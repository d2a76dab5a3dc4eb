const DEEPEST = 8;

/**
 * Whether a value that belay does not support requests nothing, so that accepting it ignores
 * nothing: what Go's encoder writes for a field that nobody set (null, "", 0, false, [], {}), also
 * as the members of an object: Docker always sends `"blockIO": {"weight": 0}`.
 *
 * In a map the keys themselves are requests (`netDevices: {"eth0": {}}` moves eth0), so with
 * `isMap` only an empty object is nothing. An array that has elements always is a request.
 */
export function asksForNothing(value: unknown, isMap = false, depth = 0): boolean {
  if (value === null || value === undefined || value === "" || value === false) return true;
  if (value === 0 || value === 0n) return true;
  if (typeof value !== "object") return false;
  if (Array.isArray(value)) return value.length === 0;
  const members = Object.values(value);
  if (isMap) return members.length === 0;
  // No field of the specification is nested this deep: stop before a hostile file ends the stack.
  return depth < DEEPEST && members.every((member) => asksForNothing(member, false, depth + 1));
}
