import { capture, step } from "./step.ts";

/** Debian packages by name, each with what it is needed for. */
export type Needs = Readonly<Record<string, string>>;

/**
 * Sees to it that Debian packages are installed, and says what it installs and why. Without root
 * or apt it installs nothing, and says what will be missing.
 *
 * @returns the packages that are still missing: what needs them has to SKIP.
 */
export async function needs(packages: Needs): Promise<readonly string[]> {
  const missing = await missingOf(Object.keys(packages));
  if (missing.length === 0) return [];
  const list = missing.map((name) => `${name} (${packages[name]})`).join(", ");
  const apt = await capture(["apt-get", "--version"]);
  if (apt.code !== 0 || Deno.uid() !== 0) {
    const why = apt.code === 0 ? "only root can install them" : "there is no apt-get here";
    console.log(`· missing, and ${why}: ${list}. What needs them will SKIP.`);
    return missing;
  }
  return await step(`installing from Debian: ${list}`, async () => {
    // The package lists may be absent (a fresh container image) or stale: then once more, one by
    // one, so that a package that does not exist here keeps none of the others away.
    if ((await install(missing)).code !== 0) {
      await capture(["apt-get", "-qq", "update"], APT);
      for (const name of missing) {
        const { code, stderr } = await install([name]);
        if (code !== 0) console.log(`  apt-get: ${stderr.trim().split("\n").at(-1)}`);
      }
    }
    const still = await missingOf(missing);
    if (still.length > 0) console.log(`  not installed: ${still.join(", ")}`);
    return still;
  });
}

const APT = { env: { DEBIAN_FRONTEND: "noninteractive" }, timeoutMs: 600_000 };

async function install(packages: readonly string[]) {
  return await capture([
    "apt-get",
    "-qq",
    "-o",
    "DPkg::Lock::Timeout=120",
    "install",
    "--yes",
    "--no-install-recommends",
    ...packages,
  ], APT);
}

async function missingOf(packages: readonly string[]): Promise<string[]> {
  const { stdout } = await capture([
    "dpkg-query",
    "--show",
    "--showformat=${Package} ${db:Status-Status}\n",
    ...packages,
  ]);
  const installed = new Set(stdout.split("\n").filter((line) => line.endsWith(" installed")));
  return packages.filter((name) => !installed.has(`${name} installed`));
}
