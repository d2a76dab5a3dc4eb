import { type ParsedSpec, parseSpecText } from "./parse_spec.ts";
import type { Spec } from "./types.ts";
import { namespaceOf } from "./validate_namespaces.ts";
import { sysctlNamespace, sysctlPath } from "./validate_sysctl.ts";
import { pathOf, ValidationError } from "./validation_error.ts";

/** The name of the configuration in every bundle (bundle.md). */
export const CONFIG_FILE = "config.json";

/** The files in /proc/self/ns of the namespaces that have sysctls. */
const NS_FILES: Readonly<Record<string, string>> = { network: "net", ipc: "ipc", uts: "uts" };

/**
 * Reads and checks the config.json of `bundle`, a directory. In the result `root.path` and the
 * sources of bind mounts are absolute, and the root is a directory that exists.
 *
 * @throws {ValidationError} the file is missing, is not JSON, or asks for what belay refuses
 */
export function loadSpec(bundle: string): ParsedSpec {
  const { spec, warnings } = parseSpecText(readConfig(bundle), CONFIG_FILE);
  const root = resolveRoot(spec, bundle);
  const base = Deno.realPathSync(bundle);
  const mounts = spec.mounts.map((mount) => {
    const { source } = mount;
    if (!mount.parsed.bind || source === undefined || source.startsWith("/")) return mount;
    return { ...mount, source: `${base}/${source}` };
  });
  checkHostNamespaces(spec);
  return { spec: { ...spec, root: { ...spec.root, path: root }, mounts }, warnings };
}

function readConfig(bundle: string): string {
  try {
    return Deno.readTextFileSync(`${bundle}/${CONFIG_FILE}`);
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound) {
      // These are runc's words, which people search for.
      const problem = `JSON specification file ${CONFIG_FILE} not found in ${bundle}`;
      throw new ValidationError(CONFIG_FILE, problem, { cause });
    }
    throw unreadable(CONFIG_FILE, cause);
  }
}

/**
 * The container's root directory as an absolute path without symbolic links. A relative
 * `root.path` starts at the bundle (config.md, "Root").
 *
 * @throws {ValidationError} when it is no existing directory
 */
export function resolveRoot(spec: Spec, bundle: string): string {
  const given = spec.root.path;
  const path = given.startsWith("/") ? given : `${bundle}/${given}`;
  let resolved: string;
  try {
    resolved = Deno.realPathSync(path);
    if (Deno.statSync(resolved).isDirectory) return resolved;
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound) {
      throw new ValidationError("root.path", `no such directory: ${path}`, { cause });
    }
    throw unreadable("root.path", cause);
  }
  throw new ValidationError("root.path", `must be a directory: ${resolved}`);
}

/**
 * A namespace may be joined by a path that leads back to the host's own: then its sysctls are the
 * host's, and may not be set.
 *
 * @throws {ValidationError}
 */
export function checkHostNamespaces(spec: Spec): void {
  for (const key in spec.linux.sysctl) {
    const type = sysctlNamespace(sysctlPath(key));
    const path = type === undefined ? undefined : namespaceOf(spec, type)?.path;
    const file = type === undefined ? undefined : NS_FILES[type];
    if (path === undefined || file === undefined) continue;
    const field = pathOf("linux.sysctl", key);
    let [joined, own]: Deno.FileInfo[] = [];
    try {
      [joined, own] = [Deno.statSync(path), Deno.statSync(`/proc/self/ns/${file}`)];
    } catch (cause) {
      throw unreadable(field, cause);
    }
    if (joined.dev === own.dev && joined.ino === own.ino) {
      throw new ValidationError(
        field,
        `would change the host's: ${path} is the host's own ${type}`,
      );
    }
  }
}

/** A file that exists but cannot be used: the reason is the system's, in its own words. */
function unreadable(field: string, cause: unknown): ValidationError {
  return new ValidationError(field, cause instanceof Error ? cause.message : String(cause), {
    cause,
  });
}
