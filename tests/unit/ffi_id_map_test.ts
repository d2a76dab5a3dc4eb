import { assertEquals } from "@std/assert";
import { isMapped, mapProblem, mapText, sizeProblem } from "../../ffi/id_map.ts";

type Triple = readonly [number, number, number];

function ranges(...triples: readonly Triple[]) {
  return triples.map(([containerID, hostID, size]) => ({ containerID, hostID, size }));
}

function told(...triples: readonly Triple[]): string | undefined {
  const wrong = mapProblem(ranges(...triples), "map");
  return wrong && `${wrong.where}: ${wrong.problem}`;
}

Deno.test("mapText() is what the kernel reads, one line for each range", () => {
  assertEquals(mapText(ranges([0, 100000, 65536], [70000, 5, 1])), "0 100000 65536\n70000 5 1\n");
});

Deno.test("isMapped() knows both ends of a range", () => {
  const map = ranges([10, 100, 5]);
  assertEquals([9, 10, 14, 15, 100].map((id) => isMapped(id, map)), [
    ...[false, true, true, false, false],
  ]);
});

Deno.test("mapProblem() finds nothing wrong with what the kernel takes", () => {
  const fine: readonly (readonly Triple[])[] = [
    [[0, 0, 4294967295]],
    [[0, 1000, 1], [1, 100000, 65535]],
    [[5, 105, 5], [0, 100, 5]],
    Array.from({ length: 340 }, (_, i) => [i, i, 1]),
  ];
  for (const triples of fine) assertEquals(told(...triples), undefined);
});

Deno.test("mapProblem() names the entry, and what of it is wrong", () => {
  assertEquals(told(), "map: must have one entry at least");
  assertEquals(
    told([0, 0, 1], [1, 1, 0]),
    "map[1].size: must be a whole number from 1 to 4294967295, got 0",
  );
  assertEquals(
    told([0, 4294967290, 6]),
    "map[0].size: must end before id 4294967295, got 6 from hostID 4294967290",
  );
  assertEquals(
    told([4294967295, 0, 1]),
    "map[0].size: must end before id 4294967295, got 1 from containerID 4294967295",
  );
  for (const wrong of [-1, 0.5, NaN, Infinity, 2 ** 32]) {
    assertEquals(
      told([0, 1, 1], [1, wrong, 1]),
      `map[1].hostID: must be a whole number from 0 to 4294967295, got ${wrong}`,
    );
  }
  assertEquals(
    told([0, 100, 10], [20, 109, 10]),
    "map[1].hostID: 109 is in the range of map[0] already; ranges must not overlap",
  );
  assertEquals(
    told([5, 200, 10], [0, 100, 6]),
    "map[0].containerID: 5 is in the range of map[1] already; ranges must not overlap",
  );
  assertEquals(
    told(...Array.from({ length: 341 }, (_, i) => [i, i, 1] as const)),
    "map: may have 340 entries at most, got 341",
  );
});

Deno.test("mapProblem() tells that a map is longer than the kernel reads", () => {
  const long = Array.from({ length: 340 }, (_, i) => [3e9 + i, 4e9 + i, 1] as const);
  const page = Deno.build.arch === "x86_64" ? 4096 : 65536;
  assertEquals(
    told(...long),
    page === 4096 ? `map: is 8160 bytes of text; the kernel takes less than ${page}` : undefined,
  );
});

Deno.test("mapProblem() calls entries what its caller calls them", () => {
  const map = ranges([0, 0, 2], [1, 5, 1]);
  const names = ["0:0:2", "1:5:1"];
  assertEquals(mapProblem(map, "the map", (i) => names[i] ?? ""), {
    where: "1:5:1.containerID",
    problem: "1 is in the range of 0:0:2 already; ranges must not overlap",
  });
});

Deno.test("sizeProblem() is undefined for the whole of the ids", () => {
  assertEquals(sizeProblem({ containerID: 0, hostID: 0, size: 4294967295 }), undefined);
});
