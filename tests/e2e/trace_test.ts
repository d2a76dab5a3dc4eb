import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { tracePicture } from "../../scripts/trace_picture.ts";
import { noProgram, notRoot, testUnless } from "../skip.ts";
import { validateTrace } from "../trace_format.ts";
import { belay, inTempDir } from "./belay.ts";

const obstacles = [notRoot(), noProgram("busybox", "busybox-static")];

/** A bundle of busybox whose process is `args`. */
async function makeBundle(directory: string, args: readonly string[]): Promise<void> {
  await Deno.mkdir(`${directory}/rootfs/bin`, { recursive: true });
  await Deno.copyFile("/bin/busybox", `${directory}/rootfs/bin/busybox`);
  assertEquals((await belay(["spec", "--bundle", directory])).code, 0);
  const config = JSON.parse(await Deno.readTextFile(`${directory}/config.json`));
  config.process = { ...config.process, terminal: false, args };
  await Deno.writeTextFile(`${directory}/config.json`, JSON.stringify(config));
}

testUnless(obstacles, "belay --trace writes a valid timeline when a container runs", async () => {
  await inTempDir(async (directory) => {
    await makeBundle(directory, ["/bin/busybox", "true"]);
    const [file, root] = [`${directory}/trace.json`, `${directory}/state`];
    const ended = await belay(["--root", root, "--trace", file, "run", "-b", directory, "traced"]);
    assertEquals(ended, { code: 0, stdout: "", stderr: "" });
    const trace = JSON.parse(await Deno.readTextFile(file));
    const { calls, rows } = validateTrace(trace);
    assert(rows.size >= 2, "belay and the container");
    assertEquals([...rows.values()][0], "belay");
    const container = calls.filter((each) => each.name === "execve");
    assertEquals(container.map((each) => each.args.result), ["did not return"]);
    const own = calls.filter((each) => each.pid === container[0]?.pid).map((each) => each.name);
    for (const name of ["mount_setattr", "pivot_root", "execve"]) assert(own.includes(name), name);
    assertEquals(own.at(-1), "execve");
    const cloned = calls.find((each) => each.name === "clone3");
    assert(cloned?.args.call.includes("CLONE_NEWPID"), cloned?.args.call);
    const picture = tracePicture(trace);
    assert(picture.startsWith("<svg ") && picture.trimEnd().endsWith("</svg>"));
    assertEquals(picture.match(/<title>/g)?.length, calls.length);
  });
});

testUnless(obstacles, "belay --trace writes the timeline when the command fails", async () => {
  await inTempDir(async (directory) => {
    await makeBundle(directory, ["/nonexistent"]);
    const [file, root] = [`${directory}/trace.json`, `${directory}/state`];
    const ended = await belay(["--root", root, "--trace", file, "run", "-b", directory, "traced"]);
    assert(ended.code !== 0);
    const { calls } = validateTrace(JSON.parse(await Deno.readTextFile(file)));
    assert(calls.some((each) => String(each.args.result).startsWith("ENOENT")));
  });
});

testUnless(
  obstacles,
  "belay --trace fails before anything is made when the file cannot be written",
  async () => {
    await inTempDir(async (directory) => {
      await makeBundle(directory, ["/bin/busybox", "true"]);
      const root = `${directory}/state`;
      const args = ["--root", root, "--trace", "/nonexistent/trace.json"];
      const ended = await belay([...args, "run", "-b", directory, "traced"]);
      assert(ended.code !== 0);
      assert(ended.stderr.includes("--trace /nonexistent/trace.json: "), ended.stderr);
      assertEquals((await belay(["--root", root, "list", "-q"])).stdout, "");
    });
  },
);

Deno.test("belay --trace does not hide why the command failed when the timeline cannot be written", async () => {
  const ended = await belay(["--trace", "/dev/full", "netns", "identify", "999999"]);
  assertEquals([ended.code, ended.stdout], [1, ""]);
  assertStringIncludes(ended.stderr, "--trace /dev/full: No space left on device");
  assertStringIncludes(ended.stderr, "belay netns identify failed: there is no process 999999");
  const alone = await belay(["--trace", "/dev/full", "features"]);
  assertEquals(alone.code, 1, alone.stderr);
  assertStringIncludes(alone.stderr, "--trace /dev/full: No space left on device");
});
