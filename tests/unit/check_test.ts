import { assert, assertEquals } from "@std/assert";
import { type ProbedFeature, probeFeatures } from "../../ffi/features.ts";
import { LADDERS, laddersInUse } from "../../runtime/check/ladders.ts";
import { checkReport, renderReport } from "../../runtime/check/report.ts";
import { host, openFds } from "../ffi_world.ts";

const ABOUT = { kernel: "6.18.0", arch: "x86_64", root: true };

function feature(name: string, available: boolean | undefined, required = false): ProbedFeature {
  return { name, since: "5.3", purpose: "a test", required, available };
}

Deno.test("probeFeatures() finds what this machine must have when the tests run at all", () => {
  const before = openFds();
  const features = probeFeatures(host);
  const available = new Map(features.map((each) => [each.name, each.available]));
  for (const name of ["clone3", "pidfd_open", "waitid P_PIDFD", "openat2", "stub"]) {
    assertEquals(available.get(name), true, name);
  }
  assertEquals(openFds(), before, "a probe left a descriptor");
});

Deno.test("probeFeatures() has the order of the kernels that brought them", () => {
  const features = probeFeatures(host);
  const kernels = features.slice(0, features.findIndex(({ name }) => name === "stub"))
    .map(({ since }) => since.split(".").map(Number));
  const sorted = kernels.toSorted(([a = 0, b = 0], [c = 0, d = 0]) => a - c || b - d);
  assertEquals(kernels, sorted);
});

Deno.test("LADDERS name features that are probed when a rung needs some", () => {
  const names = new Set(["cgroups: v2", ...probeFeatures(host).map((each) => each.name)]);
  for (const { name, rungs } of LADDERS) {
    for (const need of rungs.flatMap((rung) => rung.needs)) assert(names.has(need), need);
    assertEquals(rungs.at(-1)?.needs, [], `${name}: the last rung is always there`);
  }
});

Deno.test("laddersInUse() takes the best rung when its features are there, and the next when not", () => {
  const inUse = (...features: ProbedFeature[]) =>
    laddersInUse(features).find((each) => each.name === "identity of a process")?.inUse;
  const [handles, pidfs] = [feature("pidfs file handles", true), feature("pidfs", true)];
  assertEquals(inUse(handles, pidfs), "pidfs file handle");
  assertEquals(inUse(feature("pidfs file handles", false), pidfs), "pidfs inode");
  assertEquals(inUse(feature("pidfs file handles", undefined), pidfs), "pidfs inode");
  assertEquals(inUse(), "start time");
});

Deno.test("laddersInUse() enters cgroups at birth when there is only version 2", () => {
  const entering = (detail: string) =>
    laddersInUse([{ ...feature("cgroups", true), detail }])
      .find((each) => each.name === "entering a cgroup")?.inUse;
  assertEquals(entering("v2: cpu memory"), "CLONE_INTO_CGROUP");
  assert(entering("hybrid: cpu memory")?.startsWith("cgroup.procs"));
});

Deno.test("checkReport() says what is missing when belay cannot run", () => {
  const features = [feature("clone3", true, true), feature("openat2", false, true)];
  const report = checkReport([...features, feature("tcx links", false)], ABOUT);
  assertEquals([report.ok, report.missing], [false, ["openat2"]]);
  const text = renderReport(report);
  assert(text.includes("belay cannot run here: openat2 missing."), text);
  assert(/openat2 +5\.3 +MISSING +a test/.test(text), text);
  assert(/tcx links +5\.3 +no +a test/.test(text), text);
});

Deno.test("renderReport() puts columns below each other, and details where they say something", () => {
  const features = [
    { ...feature("clone3", true, true), detail: "/memfd:belay-stub (deleted)" },
    { ...feature("a long name indeed", undefined), detail: "nobody may see it" },
  ];
  const lines = renderReport(checkReport(features, ABOUT)).split("\n");
  assertEquals(lines.slice(2, 5), [
    "FEATURE             SINCE  HERE  WHAT FOR",
    "clone3              5.3    yes   a test",
    "a long name indeed  5.3    ?     a test (nobody may see it)",
  ]);
  const rungs = (ladder: string) =>
    lines.find((line) => line.startsWith(ladder))?.split(/ {2,}/).slice(1);
  assertEquals(rungs("stub image"), [
    "file without a name in the state root",
    "not here: sealed memfd",
  ]);
  assertEquals(rungs("identity"), ["start time", "not here: pidfs file handle, pidfs inode"]);
});

Deno.test("renderReport() says what could not be seen when somebody else than root asks", () => {
  const features = [feature("clone3", true, true), feature("tcx links", undefined)];
  const text = renderReport(checkReport(features, { ...ABOUT, root: false }));
  assert(text.startsWith("Linux 6.18.0, x86_64, seen without root\n"), text);
  assert(text.includes("belay can run here. Not seen without root: tcx links."), text);
});
