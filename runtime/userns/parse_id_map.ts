import { type MappedRange, mapProblem } from "../../ffi/id_map.ts";
import { CommandError } from "../cli/command_error.ts";

/**
 * Reads the values of `--uid-map` or `--gid-map`: ranges `CONTAINER:HOST:SIZE`, several with commas between.
 * @throws CommandError that names the flag and the entry.
 */
export function parseIdMap(flag: string, values: readonly string[]): MappedRange[] {
  if (values.length === 0) {
    throw new CommandError(`--${flag} is missing: a namespace that maps nobody is of no use`);
  }
  const entries = values.flatMap((value) => value.split(","));
  const ranges = entries.map((entry) => {
    const [, containerID, hostID, size] = /^(\d{1,10}):(\d{1,10}):(\d{1,10})$/.exec(entry) ?? [];
    if (containerID === undefined) {
      throw new CommandError(
        `--${flag}: ${JSON.stringify(entry)}: must be CONTAINER:HOST:SIZE, three whole numbers`,
      );
    }
    return { containerID: Number(containerID), hostID: Number(hostID), size: Number(size) };
  });
  const wrong = mapProblem(ranges, "the map", (index) => entries[index] ?? "");
  if (wrong === undefined) return ranges;
  throw new CommandError(`--${flag}: ${wrong.where}: ${wrong.problem}`);
}
