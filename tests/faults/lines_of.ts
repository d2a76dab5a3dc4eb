/** How long output may be held open by what a child leaves that has ended. */
const FAREWELL_MS = 1000;

/**
 * The lines that a child prints, until it has ended. One that says nothing for some time is killed; and since whatever it
 * leaves may hold its output open, its end is what counts, and not the end of the file.
 * @param child Its standard output is piped.
 */
export async function* linesOf(
  child: Deno.ChildProcess,
  silenceMs: number,
): AsyncGenerator<string, Deno.CommandStatus> {
  const reader = child.stdout.getReader();
  let ended = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const listen = () => {
    if (ended) return; // nobody is there to be killed
    clearTimeout(timer);
    timer = setTimeout(() => child.kill("SIGKILL"), silenceMs);
  };
  const end = child.status.then((status) => {
    ended = true;
    clearTimeout(timer);
    timer = setTimeout(() => reader.cancel(), FAREWELL_MS);
    return status;
  });
  const decoder = new TextDecoder();
  let rest = "";
  try {
    listen();
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      listen();
      const parts = (rest + decoder.decode(next.value, { stream: true })).split("\n");
      rest = parts.pop() ?? "";
      yield* parts;
    }
    return await end;
  } finally {
    clearTimeout(timer);
    await reader.cancel();
  }
}
