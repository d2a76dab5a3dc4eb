import { pathComponents } from "./path_components.ts";
import { ValidationError } from "./validation_error.ts";

/**
 * The path without `.`, `..` and empty components; `..` at the top goes nowhere, so that the
 * result, appended to the root of a cgroup hierarchy, is always below it. An absolute path
 * stays absolute, a relative one relative.
 *
 * @throws {ValidationError} when nothing remains, because the container would be put into the root
 */
export function cleanCgroupsPath(path: string, at: string): string {
  if (path.includes("\n")) {
    throw new ValidationError(at, "must not contain a line break; the kernel allows none in it");
  }
  const components = pathComponents(path);
  if (components.length === 0) {
    throw new ValidationError(at, `must name a cgroup below the root, got "${path}"`);
  }
  return (path.startsWith("/") ? "/" : "") + components.join("/");
}
