import type { Kernel } from "../../ffi/kernel.ts";
import { newAddress } from "../../ffi/netlink/address.ts";
import { parseIp } from "../../ffi/netlink/ip_address.ts";
import { getLink, newVeth, parseLink, setLink } from "../../ffi/netlink/link.ts";
import { NetlinkSocket } from "../../ffi/netlink/socket.ts";
import { CommandError } from "../cli/command_error.ts";

/** An address with its prefix: `10.0.0.1/24`. */
export interface Cidr {
  readonly address: string;
  readonly prefix: number;
}

/** A pair of links, from belay's own network namespace to a new one. */
export interface Veth {
  /** The name of the end out here. */
  readonly host: string;
  /** The name of the other end. */
  readonly inside: string;
  readonly hostAddress?: Cidr;
  readonly insideAddress?: Cidr;
}

/** As `ip netns exec` users expect it of the only link. */
const INSIDE_NAME = "eth0";
/** Bytes of a link's name (linux/if.h, IFNAMSIZ - 1). */
const LONGEST_NAME = 15;

/** Reads `HOST` or `HOST:INSIDE`. @throws CommandError */
export function parseVeth(text: string): Veth {
  const [host = "", inside = INSIDE_NAME, ...more] = text.split(":");
  if (more.length > 0) throw new CommandError(`--veth: ${JSON.stringify(text)}: HOST[:INSIDE]`);
  return { host: linkName(host), inside: linkName(inside) };
}

/** The kernel's rule (dev_valid_name): without blanks, slashes and colons. @throws CommandError */
function linkName(name: string): string {
  const { length } = new TextEncoder().encode(name);
  if (length > 0 && length <= LONGEST_NAME && !/^\.{1,2}$|[/:\s\0]/.test(name)) return name;
  throw new CommandError(
    `--veth: ${
      JSON.stringify(name)
    }: a link's name has 1 to ${LONGEST_NAME} bytes, and no blanks, / or :`,
  );
}

/** Reads `ADDRESS/PREFIX`. @throws CommandError */
export function parseCidr(flag: string, text: string): Cidr {
  const [, address = "", prefix = ""] = /^([^/]+)\/(\d{1,3})$/.exec(text) ?? [];
  try {
    if (address !== "" && Number(prefix) <= parseIp(address).length * 8) {
      return { address, prefix: Number(prefix) };
    }
  } catch (cause) {
    throw new CommandError(`${flag}: ${JSON.stringify(text)}`, { cause });
  }
  throw new CommandError(`${flag}: ${JSON.stringify(text)} is not like 10.0.0.1/24 or fd00::1/64`);
}

/**
 * Makes the pair, sets both ends and the namespace's `lo` up, and gives them their addresses. Nothing of it has to be
 * cleaned up: both ends are gone when the namespace is, which nobody but this belay holds yet.
 * @param inside Whoever is in the new namespace.
 * @param namespace A descriptor of it.
 * @throws SyscallError of the request that failed: EEXIST when there is a link of that name out here.
 */
export function makeVeth(outside: Kernel, inside: Kernel, namespace: number, veth: Veth): void {
  using out = NetlinkSocket.open(outside);
  using within = NetlinkSocket.open(inside);
  out.do(newVeth(veth.host, veth.inside, {}, { netns: namespace }));
  within.do(setLink("lo", { up: true }));
  setUp(within, veth.inside, veth.insideAddress);
  setUp(out, veth.host, veth.hostAddress);
}

function setUp(socket: NetlinkSocket, name: string, address: Cidr | undefined): void {
  const { index } = parseLink(socket.ask(getLink(name)));
  if (address !== undefined) socket.do(newAddress({ link: index, ...address }));
  socket.do(setLink(index, { up: true }));
}
