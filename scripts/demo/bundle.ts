import { mustRun } from "../step.ts";
import type { Stage } from "./stage.ts";

/** What the demo reads and changes of a config.json. */
export interface Config {
  process: { terminal: boolean; args: string[] };
  root: { path: string };
  hostname: string;
  linux: {
    resources: Record<string, unknown>;
    namespaces: { type: string }[];
    uidMappings?: IdMapping[];
    gidMappings?: IdMapping[];
  };
}

/** A range of ids: of the container, of the host. */
export interface IdMapping {
  readonly containerID: number;
  readonly hostID: number;
  readonly size: number;
}

/** A root file system of nothing but busybox; its path. */
export async function makeRootfs(stage: Stage): Promise<string> {
  const rootfs = `${stage.scratch}/rootfs`;
  for (const name of ["bin", "dev", "etc", "proc", "root", "sys", "tmp"]) {
    await Deno.mkdir(`${rootfs}/${name}`, { recursive: true });
  }
  await Deno.copyFile("/bin/busybox", `${rootfs}/bin/busybox`);
  await mustRun(["/bin/busybox", "--install", "-s", `${rootfs}/bin`]);
  for (const { name } of Deno.readDirSync(`${rootfs}/bin`)) {
    // busybox links to where it was called from; in the container that is elsewhere.
    if (name === "busybox") continue;
    await Deno.remove(`${rootfs}/bin/${name}`);
    await Deno.symlink("busybox", `${rootfs}/bin/${name}`);
  }
  await Deno.writeTextFile(`${rootfs}/etc/passwd`, "root:x:0:0:root:/root:/bin/sh\n");
  return rootfs;
}

/** A bundle: a directory with a config.json, by `belay spec`, with some changes. Its path. */
export async function makeBundle(
  stage: Stage,
  name: string,
  rootfs: string,
  change: (config: Config) => void,
): Promise<string> {
  const bundle = `${stage.scratch}/${name}`;
  await Deno.mkdir(bundle);
  await mustRun(stage.words("spec"), { cwd: bundle });
  const config: Config = JSON.parse(await Deno.readTextFile(`${bundle}/config.json`));
  config.process.terminal = false; // a demo has nobody who types
  config.root.path = rootfs;
  config.hostname = name;
  change(config);
  await Deno.writeTextFile(`${bundle}/config.json`, JSON.stringify(config, null, 2));
  return bundle;
}
