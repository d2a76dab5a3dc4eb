// Images without a registry: a busybox in a tar, and the same as an archive that `docker save` might have written.

/** A file of the image that nobody may execute. */
export const NOT_EXECUTABLE = "/etc/passwd";

/** Writes `rootfs.tar` into a directory; its path. */
export async function makeRootfsTar(directory: string): Promise<string> {
  const rootfs = `${directory}/rootfs`;
  for (
    const name of ["bin", "dev", "etc", "home", "proc", "root", "run", "sys", "tmp", "var/full"]
  ) {
    Deno.mkdirSync(`${rootfs}/${name}`, { recursive: true });
  }
  Deno.copyFileSync("/bin/busybox", `${rootfs}/bin/busybox`);
  const { stdout } = await new Deno.Command("/bin/busybox", { args: ["--list"] }).output();
  for (const applet of new TextDecoder().decode(stdout).trim().split("\n")) {
    if (applet !== "busybox") Deno.symlinkSync("busybox", `${rootfs}/bin/${applet}`);
  }
  Deno.chmodSync(`${rootfs}/tmp`, 0o1777);
  Deno.writeTextFileSync(`${rootfs}/var/full/file`, "from the image\n");
  Deno.writeTextFileSync(
    `${rootfs}/etc/passwd`,
    "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:app:/home:/bin/sh\n",
  );
  Deno.writeTextFileSync(`${rootfs}/etc/group`, "root:x:0:\napp:x:1000:\nextra:x:2000:app\n");
  const tar = `${directory}/rootfs.tar`;
  await pack(tar, rootfs);
  Deno.removeSync(rootfs, { recursive: true });
  return tar;
}

/** Writes an archive with the rootfs as the one layer of the image `name`; its path. */
export async function makeImageArchive(
  directory: string,
  rootfsTar: string,
  name: string,
): Promise<string> {
  const content = `${directory}/image`;
  Deno.mkdirSync(content);
  Deno.copyFileSync(rootfsTar, `${content}/layer.tar`);
  const digest = await crypto.subtle.digest("SHA-256", Deno.readFileSync(rootfsTar));
  const hex = [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join(
    "",
  );
  Deno.writeTextFileSync(
    `${content}/config.json`,
    JSON.stringify({
      architecture: Deno.build.arch === "aarch64" ? "arm64" : "amd64",
      os: "linux",
      config: { Env: ["PATH=/bin"], Cmd: ["sh"] },
      rootfs: { type: "layers", diff_ids: [`sha256:${hex}`] },
    }),
  );
  Deno.writeTextFileSync(
    `${content}/manifest.json`,
    JSON.stringify([{ Config: "config.json", RepoTags: [name], Layers: ["layer.tar"] }]),
  );
  const tar = `${directory}/image.tar`;
  await pack(tar, content);
  Deno.removeSync(content, { recursive: true });
  return tar;
}

async function pack(tar: string, directory: string): Promise<void> {
  const { code, stderr } = await new Deno.Command("tar", {
    args: ["-C", directory, "--numeric-owner", "--owner=0", "--group=0", "-cf", tar, "."],
  }).output();
  if (code !== 0) throw new Error(`tar: ${new TextDecoder().decode(stderr)}`);
}
