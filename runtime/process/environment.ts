/**
 * The last assignment of each variable, at the place of its first. The kernel passes an environment on as it is, and of
 * two assignments most C libraries find the first: `exec --env PATH=…` would change nothing. As with runc and crun, the
 * later one wins.
 */
export function lastOfEach(env: readonly string[]): string[] {
  const found = new Map<string, string>();
  for (const each of env) found.set(each.split("=", 1)[0] ?? "", each);
  return [...found.values()];
}
