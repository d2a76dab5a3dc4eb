/** Whether this is what /proc/self/uid_map says outside of user namespaces (user_namespaces(7)). */
export function isInitialUidMap(map: string): boolean {
  return /^\s*0\s+0\s+4294967295\s*$/.test(map);
}
