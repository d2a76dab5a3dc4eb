/**
 * The parts of a path, without empty ones, `.` and `..`, which never leads above the start. It looks at the text alone:
 * symbolic links stay.
 */
export function pathComponents(path: string): string[] {
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return parts;
}
