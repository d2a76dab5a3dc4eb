/**
 * The command of an empty program, run by the same Deno with the same flags as a launcher's; to
 * know how much of belay's time is Deno's. Undefined for an executable that is no launcher.
 * @param directory Where the empty program is written.
 */
export async function emptyDeno(
  belay: string,
  directory: string,
): Promise<string[] | undefined> {
  const head = new Uint8Array(0x10000);
  using file = await Deno.open(belay);
  const length = await file.read(head) ?? 0;
  const text = new TextDecoder().decode(head.subarray(0, length));
  if (!text.startsWith("#!")) return undefined;
  const [, deno, flags] = /exec '([^']+)' (run [^']*) 'data:/.exec(text) ?? [];
  if (deno === undefined || flags === undefined) throw new Error(`${belay}: an unknown launcher`);
  const program = `${directory}/empty.js`;
  await Deno.writeTextFile(program, "");
  return [deno, ...flags.split(" "), program];
}
