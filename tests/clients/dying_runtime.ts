// A runtime that is killed by SIGKILL at one moment of one of its commands, once: what its callers see is what they see
// when the runtime itself is killed then, and the moment is certain.
import type { Contestant } from "./checks.ts";

/** What containerd's shim has a runtime do in a container's life, as words of a command line. */
export const CALLS = ["create", "start", "exec", "kill", "delete", "delete --force"] as const;

/** One of them. */
export type Call = typeof CALLS[number];

/** Which of them a command line is, by a runtime's under a shim. */
export function callOf(line: string): Call | undefined {
  return CALLS.findLast((call) => line.includes(` ${call} `));
}

/** Before anything has been done; or when everything has, but nobody has been told. */
export const MOMENTS = ["before", "after"] as const;

/** Notes the command that is called, and dies when that is the one that it was armed for. */
const SCRIPT = `#!/bin/sh
case " $* " in
  *" delete --force "*) call="delete --force" ;;
  *" create "*) call=create ;;
  *" start "*) call=start ;;
  *" exec "*) call=exec ;;
  *" kill "*) call=kill ;;
  *" delete "*) call=delete ;;
  *) exec "$RUNTIME" "$@" ;;
esac
if mv "$DIR/$call before" "$DIR/died" 2>/dev/null; then kill -KILL $$; fi
"$RUNTIME" "$@"
code=$?
if mv "$DIR/$call after" "$DIR/died" 2>/dev/null; then kill -KILL $$; fi
exit $code
`;

/** A runtime that dies when it is told to. */
export class DyingRuntime {
  /** As a client is told of it. */
  readonly contestant: Contestant;

  /** @param dir A directory of its own. */
  constructor(real: Contestant, private readonly dir: string) {
    this.contestant = { name: `dying-${real.name}`, path: `${dir}/${real.name}` };
    const script = SCRIPT.replaceAll("$RUNTIME", real.path).replaceAll("$DIR", dir);
    Deno.writeTextFileSync(this.contestant.path, script);
    Deno.chmodSync(this.contestant.path, 0o755);
  }

  /** The next time that it is called so, it dies. */
  arm(call: Call, moment: typeof MOMENTS[number]): void {
    Deno.writeTextFileSync(`${this.dir}/${call} ${moment}`, "");
  }

  /** Whether it has died since it was armed. It is not armed any more. */
  disarm(): boolean {
    const files = [...Deno.readDirSync(this.dir)].map(({ name }) => name);
    const rest = files.filter((name) => name.includes(" ") || name === "died");
    for (const name of rest) Deno.removeSync(`${this.dir}/${name}`);
    return rest.includes("died");
  }
}
