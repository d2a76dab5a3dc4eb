import { pathComponents } from "../spec/path_components.ts";

/** `path` as an absolute path without `.`, `..` and doubled slashes: what Go's `filepath.Abs` does. Links stay. */
export function absolutePath(path: string): string {
  return `/${pathComponents(path.startsWith("/") ? path : `${Deno.cwd()}/${path}`).join("/")}`;
}
