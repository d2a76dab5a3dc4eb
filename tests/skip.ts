// A test that cannot run says so: one line `SKIP name: reason`, and Deno counts it as ignored. The
// decision is made when the module is loaded, by a probe; a test that runs never turns into a skip.

/** Why a test cannot run; undefined: it can. */
export type Obstacle = string | undefined;

/** `Deno.test`, or a SKIP with the first of the obstacles. */
export function testUnless(
  obstacles: Obstacle | readonly Obstacle[],
  name: string,
  fn: (t: Deno.TestContext) => void | Promise<void>,
): void {
  const reason = [obstacles].flat().find((each) => each !== undefined);
  if (reason !== undefined) console.log(`SKIP ${name}: ${reason}`);
  Deno.test({ name, fn, ignore: reason !== undefined });
}

/** For tests that need root. */
export function notRoot(): Obstacle {
  return Deno.uid() === 0 ? undefined : "needs root";
}

/** For tests that need a program on PATH; `debianPackage` tells how to get it. */
export function noProgram(name: string, debianPackage = name): Obstacle {
  for (const directory of (Deno.env.get("PATH") ?? "").split(":")) {
    try {
      if (Deno.statSync(`${directory}/${name}`).isFile) return undefined;
    } catch {
      // Not in this directory.
    }
  }
  return `${name} is not installed (Debian package ${debianPackage})`;
}

/** For tests that need a file of the host, such as one in /proc or /sys. */
export function noFile(path: string): Obstacle {
  try {
    Deno.statSync(path);
    return undefined;
  } catch {
    return `there is no ${path} here`;
  }
}

/** For tests that need a shared library; `debianPackage` tells how to get it. */
export function noLibrary(name: string, debianPackage: string): Obstacle {
  try {
    Deno.dlopen(name, {}).close();
    return undefined;
  } catch {
    return `${name} is not installed (Debian package ${debianPackage})`;
  }
}
