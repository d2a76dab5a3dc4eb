import type { Run } from "../../cli/command.ts";
import { CommandError } from "../../cli/command_error.ts";
import type { ParsedFlags } from "../../cli/parsed_flags.ts";
import { writeStdout } from "../../cli/write_stdout.ts";
import { addNetns, type WantedNetns } from "../../netns/add_netns.ts";
import { countedNames } from "../../netns/netns_name.ts";
import { parseCidr, parseVeth, type Veth } from "../../netns/veth.ts";
import { hostCarriers } from "../host_carriers.ts";

/** `belay netns add`: makes network namespaces and gives them names. */
export const run: Run = ({ globals, flags, args: [name = ""], log }) => {
  const added = addNetns(hostCarriers(globals), wanted(name, flags), log);
  if (flags.bool("json")) writeStdout(`${JSON.stringify(added)}\n`);
  return 0;
};

function wanted(name: string, flags: ParsedFlags): WantedNetns[] {
  const count = flags.int("count");
  const names = countedNames(name, count);
  const veth = givenVeth(flags);
  if (veth === undefined) return names.map((each) => ({ name: each }));
  if (count === undefined) return names.map((each) => ({ name: each, veth }));
  if (veth.hostAddress !== undefined || veth.insideAddress !== undefined) {
    throw new CommandError("--count: several namespaces cannot have one address");
  }
  return names.map((each, i) => ({
    name: each,
    veth: parseVeth(`${veth.host}${i + 1}:${veth.inside}`),
  }));
}

function givenVeth(flags: ParsedFlags): Veth | undefined {
  const [veth, host, inside] = ["veth", "host-address", "address"].map((name) =>
    flags.string(name)
  );
  if (veth !== undefined) {
    return {
      ...parseVeth(veth),
      ...(host === undefined ? {} : { hostAddress: parseCidr("--host-address", host) }),
      ...(inside === undefined ? {} : { insideAddress: parseCidr("--address", inside) }),
    };
  }
  if (host === undefined && inside === undefined) return undefined;
  throw new CommandError("--address and --host-address are for the ends of a --veth");
}
