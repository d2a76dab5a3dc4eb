/**
 * `path` as an absolute path without `.`, `..` and doubled slashes: what Go's `filepath.Abs` does.
 * It looks at the text alone; symbolic links stay.
 */
export function absolutePath(path: string): string {
  const components: string[] = [];
  const whole = path.startsWith("/") ? path : `${Deno.cwd()}/${path}`;
  for (const component of whole.split("/")) {
    if (component === "..") components.pop();
    else if (component !== "" && component !== ".") components.push(component);
  }
  return `/${components.join("/")}`;
}
