// What `netns doctor` concludes from what the kernel lists.
import { assertEquals } from "@std/assert";
import { RTM } from "../../ffi/abi/rtnetlink.ts";
import { newBridge } from "../../ffi/netlink/link.ts";
import type { NetlinkMessage, NetlinkRequest } from "../../ffi/netlink/message.ts";
import { newRedirect } from "../../ffi/netlink/traffic.ts";
import { filtersOf } from "../../runtime/netns/doctor/links.ts";

const LINK = 3;

function message({ type, body }: NetlinkRequest): NetlinkMessage {
  return { type, flags: 0, sequence: 1, body };
}

/** A filter on LINK that sends to another link, as the kernel lists it: with a handle. */
function filterTo(link: number): NetlinkMessage {
  const { body, ...rest } = message(newRedirect(LINK, link));
  new DataView(body.buffer).setUint32(8, 0x80000800, true);
  return { ...rest, body };
}

function linkOf(index: number): NetlinkMessage {
  const { body, ...rest } = message(newBridge(`l${index}`));
  new DataView(body.buffer).setInt32(4, index, true);
  return { ...rest, body };
}

/** A kernel that has these links, and answers a question for filters with `filters()`. */
function kernel(links: number[], filters: () => NetlinkMessage[]) {
  return {
    dump({ type }: NetlinkRequest): NetlinkMessage[] {
      return type === RTM.RTM_GETTFILTER ? filters() : links.map(linkOf);
    },
  };
}

Deno.test("filtersOf() calls a filter dead when the link that it sends to is gone", () => {
  // Today's kernels say 0 then, and older ones the number that the link had.
  const socket = kernel([1, LINK], () => [filterTo(0), filterTo(9), filterTo(1)]);
  assertEquals(filtersOf(socket, LINK).map(({ dead }) => dead), [true, true, false]);
});

Deno.test("filtersOf() calls no filter dead when its link comes while it looks", () => {
  const links = [1, LINK];
  const socket = kernel(links, () => {
    links.push(9);
    return [filterTo(9)];
  });
  assertEquals(filtersOf(socket, LINK).map(({ dead }) => dead), [false]);
});
