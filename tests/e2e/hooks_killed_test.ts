// A hook does not outlive the belay that waits for it.
import { e2e, until } from "./world.ts";
import { descendants } from "./census.ts";
import { bundleWith, type Kind, shell } from "./hooks.ts";

const running = () => descendants().some(({ name }) => name === "sleep");

for (const kind of ["prestart", "createRuntime", "createContainer"] as const satisfies Kind[]) {
  e2e(
    `a ${kind} hook ends with a belay that is killed, and delete --force finds the rest`,
    async (world) => {
      const bundle = await bundleWith(world, { [kind]: [shell("exec sleep 300")] });
      const id = world.id();
      const create = world.spawn(["create", "--bundle", bundle, id]);
      await until("the hook runs", running);
      create.signal("SIGKILL");
      await create.ended;
      await world.ok(["delete", "--force", id]);
      await until("the hook has ended", () => !running());
    },
  );
}
