/**
 * Messages: what is asked of the kernel and what it answers (netlink(7), struct nlmsghdr, struct nlmsgerr).
 *
 * @module
 */
import { NLM_F, NLMSG, NLMSGERR_ATTR } from "../abi/rtnetlink.ts";
import {
  aligned,
  type Attribute,
  Attributes,
  encodeAttributes,
  joined,
  NetlinkFormatError,
} from "./attributes.ts";

const HEADER_SIZE = 16;
/** An error number, then the header of the request. */
const ERROR_SIZE = 4 + HEADER_SIZE;

/** What the kernel is asked: a fixed part, whose layout depends on the type, and attributes. */
export interface NetlinkRequest {
  /** RTM_*. */
  readonly type: number;
  /** What NLM_F_REQUEST and NLM_F_ACK are added to: NLM_F_CREATE, NLM_F_EXCL. */
  readonly flags: number;
  readonly body: Uint8Array;
  /** For errors and traces: `RTM_NEWLINK v0 (veth)`. */
  readonly text: string;
}

/** A message that came. */
export interface NetlinkMessage {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  readonly body: Uint8Array;
}

/** What an NLMSG_ERROR says. */
export interface NetlinkAnswer {
  /** 0, or an error number, positive. */
  readonly errno: number;
  /** The kernel's own words (extended ACK). */
  readonly words: string | undefined;
}

/** A request from its fixed part and its attributes. */
export function request(
  type: number,
  flags: number,
  fixed: Uint8Array,
  attributes: readonly Attribute[],
  shown: string,
): NetlinkRequest {
  return { type, flags, body: joined([fixed, encodeAttributes(attributes)]), text: shown };
}

/** A message as it is sent, to the kernel (port 0). */
export function encodeMessage(
  { type, flags, body }: Pick<NetlinkRequest, "type" | "flags" | "body">,
  sequence: number,
): Uint8Array {
  const out = new Uint8Array(HEADER_SIZE + body.length);
  const view = new DataView(out.buffer);
  view.setUint32(0, out.length, true);
  view.setUint16(4, type, true);
  view.setUint16(6, flags, true);
  view.setUint32(8, sequence, true);
  out.set(body, HEADER_SIZE);
  return out;
}

/**
 * The messages of a datagram, in order; their bodies are views of it. Less than a header at its end is ignored.
 * @throws NetlinkFormatError for one that is longer than what there is, or shorter than a header.
 */
export function decodeMessages(datagram: Uint8Array): NetlinkMessage[] {
  const view = new DataView(datagram.buffer, datagram.byteOffset, datagram.length);
  const messages: NetlinkMessage[] = [];
  for (let at = 0; at + HEADER_SIZE <= datagram.length;) {
    const length = view.getUint32(at, true);
    if (length < HEADER_SIZE || at + length > datagram.length) {
      throw new NetlinkFormatError(
        `a message of ${length} bytes, of ${datagram.length - at} that there are`,
      );
    }
    messages.push({
      type: view.getUint16(at + 4, true),
      flags: view.getUint16(at + 6, true),
      sequence: view.getUint32(at + 8, true),
      body: datagram.subarray(at + HEADER_SIZE, at + length),
    });
    at += aligned(length);
  }
  return messages;
}

/**
 * What an NLMSG_ERROR says: that the request was done, or why not. Also for NLMSG_DONE, whose body begins the same way.
 * @throws NetlinkFormatError
 */
export function decodeAnswer({ type, flags, body }: NetlinkMessage): NetlinkAnswer {
  const view = new DataView(body.buffer, body.byteOffset, body.length);
  const isDone = type === NLMSG.NLMSG_DONE;
  if (body.length < 4) {
    if (isDone) return { errno: 0, words: undefined }; // NLMSG_DONE alone may say nothing
    throw new NetlinkFormatError(`an error of ${body.length} bytes`);
  }
  const errno = -view.getInt32(0, true) || 0;
  if (errno < 0) throw new NetlinkFormatError(`an error whose number is ${-errno}`);
  if ((flags & NLM_F.NLM_F_ACK_TLVS) === 0) return { errno, words: undefined };
  // The request stands between the number and the words, unless it was left out.
  let start = 4;
  if (!isDone) {
    if (body.length < ERROR_SIZE) throw new NetlinkFormatError(`an error of ${body.length} bytes`);
    const capped = (flags & NLM_F.NLM_F_CAPPED) !== 0;
    start = capped ? ERROR_SIZE : 4 + aligned(Math.max(view.getUint32(4, true), HEADER_SIZE));
  }
  if (start > body.length) {
    throw new NetlinkFormatError("an error that is shorter than its request");
  }
  const words = new Attributes(body.subarray(start)).text(NLMSGERR_ATTR.NLMSGERR_ATTR_MSG);
  return { errno, words };
}

/** The fixed part of a message. @throws NetlinkFormatError when there is less. */
export function fixedPart(body: Uint8Array, size: number): { view: DataView; rest: Attributes } {
  if (body.length < size) throw new NetlinkFormatError(`${body.length} bytes, ${size} are needed`);
  return {
    view: new DataView(body.buffer, body.byteOffset, size),
    rest: new Attributes(body.subarray(aligned(size))),
  };
}
