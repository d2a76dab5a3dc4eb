import { assertEquals } from "@std/assert";
import { defaultSpec, rootlessSpec } from "../../runtime/spec/default_spec.ts";
import { parseSpec } from "../../runtime/spec/parse_spec.ts";

/** What runc wrote, with the three things that belay writes differently. */
function recorded(file: string): string {
  const url = new URL(`testdata/${file}`, import.meta.url);
  const spec = JSON.parse(Deno.readTextFileSync(url));
  spec.ociVersion = "1.3.0";
  spec.hostname = "belay";
  delete spec.process.capabilities.ambient;
  return JSON.stringify(spec, null, "\t");
}

Deno.test("defaultSpec() is what runc 1.1.5 writes, in its order, when on cgroup v1", () => {
  assertEquals(JSON.stringify(defaultSpec(), null, "\t"), recorded("runc-1.1.5-spec.json"));
});

Deno.test("rootlessSpec() is what runc 1.1.5 --rootless writes when the caller is root", () => {
  assertEquals(
    JSON.stringify(rootlessSpec({ uid: 0, gid: 0 }), null, "\t"),
    recorded("runc-1.1.5-spec-rootless.json"),
  );
});

Deno.test("defaultSpec() and rootlessSpec() are valid and give no warning", () => {
  for (const cgroup2 of [false, true]) {
    const specs = [defaultSpec({ cgroup2 }), rootlessSpec({ uid: 1000, gid: 100 }, { cgroup2 })];
    for (const spec of specs) {
      const parsed = parseSpec(spec);
      assertEquals(parsed.warnings, []);
      const types = parsed.spec.linux.namespaces.map(({ type }) => type);
      assertEquals(types.includes("cgroup"), cgroup2);
    }
  }
});

Deno.test("rootlessSpec() maps the caller's ids to root", () => {
  const { linux } = parseSpec(rootlessSpec({ uid: 1000, gid: 100 })).spec;
  assertEquals(linux.uidMappings, [{ containerID: 0, hostID: 1000, size: 1 }]);
  assertEquals(linux.gidMappings, [{ containerID: 0, hostID: 100, size: 1 }]);
});
