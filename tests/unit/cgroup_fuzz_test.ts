// Damaged texts of the kernel and of clients: parsers answer, or refuse by name. BELAY_SEED=n varies the texts,
// BELAY_FUZZ=n makes n times as many rounds.
import { assert, assertEquals } from "@std/assert";
import { parseProcCgroup } from "../../runtime/cgroup/cgroup_mounts.ts";
import { isReachable, parseMountinfo } from "../../runtime/cgroup/mountinfo.ts";
import { parseExactJson } from "../../runtime/spec/parse_json.ts";
import { RESOURCES } from "../../runtime/spec/resources_schema.ts";
import { ValidationError } from "../../runtime/spec/validation_error.ts";
import { generator, rounds, SEED } from "../random.ts";

const ROUNDS = rounds(2000);

/** The text with some of its characters replaced, taken out or doubled. */
function damaged(text: string, random: (limit: number) => number): string {
  const characters = [...text];
  const alphabet = '0189-{}[]":, \n\\/.\0kMax';
  for (let n = random(5); n >= 0; n--) {
    const at = random(characters.length);
    const what = [[], [alphabet[random(alphabet.length)] ?? ""], [characters[at] ?? "", "0"]];
    characters.splice(at, 1, ...what[random(3)] ?? []);
  }
  return characters.join("");
}

const UPDATE = JSON.stringify({
  memory: { limit: 4096, swap: 8192, checkBeforeUpdate: true },
  cpu: { shares: 2, quota: 1000, period: 1000, burst: 5, idle: 1, cpus: "0-1", mems: "0" },
  pids: { limit: 5 },
  blockIO: { weight: 10, throttleReadBpsDevice: [{ major: 8, minor: 0, rate: 1 }] },
  hugepageLimits: [{ pageSize: "2MB", limit: 5 }],
  rdma: { mlx: { hcaHandles: 1 } },
  unified: { "memory.high": "5" },
});

Deno.test("RESOURCES answers, or refuses by name, when the text of an update is damaged", () => {
  const random = generator(SEED);
  const counts = { accepted: 0, refused: 0 };
  for (let round = 0; round < ROUNDS; round++) {
    const text = damaged(UPDATE, random);
    try {
      RESOURCES.parse(parseExactJson(text, "standard input"), "linux.resources", []);
      counts.accepted++;
    } catch (error) {
      assert(
        error instanceof ValidationError && error.field !== "",
        `seed ${SEED}, ${text}: ${error}`,
      );
      counts.refused++;
    }
  }
  assert(counts.accepted > 0 && counts.refused > 0, JSON.stringify(counts));
});

const MOUNTINFO =
  "36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 - cgroup /dev/x rw,cpu,cpuacct\n" +
  "37 36 0:5 / /sys/fs/cgroup rw - cgroup2 none rw\n";
const CGROUP = "4:memory:/a/b\n0::/user.slice/x\n1:name=systemd:/\n";

Deno.test("parseMountinfo() and parseProcCgroup() leave out what is damaged", () => {
  const random = generator(SEED + 1);
  for (let round = 0; round < ROUNDS; round++) {
    const mounts = parseMountinfo(damaged(MOUNTINFO, random));
    for (const mount of mounts) isReachable(mount, mounts);
    for (const { path } of parseProcCgroup(damaged(CGROUP, random))) {
      assertEquals(path.startsWith("/"), true);
    }
  }
  assertEquals(parseMountinfo(MOUNTINFO).map(({ mountPoint }) => mountPoint), [
    "/mnt 2",
    "/sys/fs/cgroup",
  ]);
});
