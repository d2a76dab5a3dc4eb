// applySettings(): values for files of controllers, where a file is missing or values are compared with each other.
import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { CgroupError } from "../../runtime/cgroup/cgroup_error.ts";
import { applySettings, type PlacedSetting, readBack } from "../../runtime/cgroup/setting.ts";
import { FakeKernel } from "./cgroup_fake_kernel.ts";

function kernelWith(files: Record<string, string>): FakeKernel {
  const kernel = new FakeKernel();
  for (const name in files) kernel.files.set(`/c/${name}`, files[name] ?? "");
  return kernel;
}

function setting(file: string, value: string, more: Partial<PlacedSetting> = {}): PlacedSetting {
  return { directory: "/c", controller: "x", field: `the.${file}`, file, value, ...more };
}

/** What was written, in order, also what the kernel refused. */
function written(kernel: FakeKernel): string[] {
  return kernel.log.flatMap((line) => /^write \/c\/(.*)$/.exec(line)?.[1] ?? []);
}

/** The text of a write(2). */
function textOf(args: readonly unknown[]): string {
  return new TextDecoder().decode(args[1] as Uint8Array);
}

const WEIGHT = setting("x.weight", "5", { otherwise: { file: "x.bfq.weight", value: "50" } });

Deno.test("applySettings() writes to the other file only where the kernel lacks the first", () => {
  const both = kernelWith({ "x.weight": "", "x.bfq.weight": "" });
  applySettings(both, [WEIGHT]);
  assertEquals(written(both), ["x.weight 5"]);
  const one = kernelWith({ "x.bfq.weight": "" });
  applySettings(one, [WEIGHT]);
  assertEquals(written(one), ["x.bfq.weight 50"]);
  const error = assertThrows(() => applySettings(kernelWith({}), [WEIGHT]), CgroupError);
  assertEquals(
    error.message,
    "the.x.weight: cannot write 5 to /c/x.weight: the kernel has no x.weight or x.bfq.weight here",
  );
});

Deno.test("applySettings() passes over a file that is missing only when it may be missing", () => {
  const kernel = kernelWith({ b: "" });
  applySettings(kernel, [setting("a", "1", { optional: true }), setting("b", "2")]);
  assertEquals(written(kernel), ["b 2"]);
  assertThrows(() => applySettings(kernel, [setting("a", "1")]), CgroupError, "the.a: ");
});

Deno.test("applySettings() lets the next value go first when the two are compared", () => {
  const pair = (more: Partial<PlacedSetting>) => [setting("a", "9", more), setting("b", "8")];
  for (
    const [errno, more, expected] of [
      ["EINVAL", { comparedWithNext: true }, ["9", "8"]],
      ["EIO", { comparedWithNext: true }, ["1", "1"]],
      ["EINVAL", {}, ["1", "1"]],
    ] as const
  ) {
    const kernel = kernelWith({ a: "1", b: "1" });
    kernel.interfere = (name, _nth, args) =>
      name === "write" && textOf(args) === "9" && kernel.files.get("/c/b") !== "8"
        ? errno
        : undefined;
    if (expected[0] === "9") applySettings(kernel, pair(more));
    else assertThrows(() => applySettings(kernel, pair(more)), CgroupError, "the.a: ");
    assertEquals(["/c/a", "/c/b"].map((path) => kernel.files.get(path)), [...expected]);
  }
});

Deno.test("applySettings() says why the kernel may have refused", () => {
  const refused = (file: string, errno: "EBUSY" | "EINVAL") => {
    const kernel = kernelWith({ [file]: "" });
    kernel.interfere = (name) => name === "write" ? errno : undefined;
    return assertThrows(() => applySettings(kernel, [setting(file, "1")]), CgroupError).message;
  };
  assertMatch(refused("memory.limit_in_bytes", "EBUSY"), /: more than that is in use$/);
  assertMatch(refused("memory.limit_in_bytes", "EINVAL"), /: the kernel refuses it$/);
  assertMatch(refused("cpuset.cpus", "EBUSY"), /: the kernel refuses it$/);
});

Deno.test("readBack() tells what the files say now, of those that are there", () => {
  const kernel = kernelWith({ a: " 7\n", "x.bfq.weight": "100\n", c: "8:0 5\n8:1 6\n" });
  const settings = [
    setting("a", "9", { comparedWithNext: true }),
    setting("b", "9", { optional: true }),
    WEIGHT,
    setting("c", "8:1 9", { readBack: (text) => text.split("\n")[1] ?? "" }),
  ];
  assertEquals(
    readBack(kernel, settings).map(({ file, value }) => `${file} ${value}`),
    ["a 7", "x.bfq.weight 100", "c 8:1 6"],
  );
});
