// docker and dockerd, with belay beside runc.
import { clientTest } from "./client.ts";
import { compare } from "./checks.ts";
import { confinementChecks } from "./confinement_checks.ts";
import { dockerChecks, remapChecks } from "./docker_checks.ts";
import { Dockerd, dockerObstacles } from "./dockerd.ts";
import { lifeChecks } from "./life_checks.ts";
import { manyChecks } from "./many_checks.ts";
import { Stage } from "./stage.ts";

clientTest(dockerObstacles(), "docker", async (t) => {
  await using stage = await Stage.open();
  await using daemon = await Dockerd.start(stage);
  const before = stage.census();
  const checks = [...lifeChecks, ...confinementChecks, ...dockerChecks, ...manyChecks];
  await compare(t, "docker", checks, (who) => daemon.cli(who));
  await stage.assertUnchanged(before);
});

clientTest(dockerObstacles(), "docker with userns-remap", async (t) => {
  await using stage = await Stage.open();
  for (const file of ["subuid", "subgid"]) {
    Deno.writeTextFileSync(stage.path(`/etc/${file}`), "dockremap:200000:65536\n");
  }
  await using daemon = await Dockerd.start(stage, ["--userns-remap", "default"]);
  const before = stage.census();
  await compare(t, "docker with userns-remap", remapChecks, (who) => daemon.cli(who));
  await stage.assertUnchanged(before);
});
