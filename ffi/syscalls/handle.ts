/**
 * File handles: names of files, and of processes, that outlive every descriptor.
 *
 * @module
 */
import { type Call, Call as SystemCall, call, type Fd, Struct } from "../call.ts";
import { flags } from "../show.ts";
import { AT, O } from "../abi/file_flags.ts";

/** A file handle (fcntl.h, struct file_handle): opaque bytes, and how to read them. */
export interface FileHandle {
  /** handle_type; 0xfe (FILEID_KERNFS) for a process. */
  readonly type: number;
  /** f_handle. */
  readonly bytes: Uint8Array;
}

/** MAX_HANDLE_SZ of linux/exportfs.h. */
const MAX_HANDLE_SIZE = 128;

/** struct file_handle: u32 handle_bytes, s32 handle_type, the bytes. */
const HEADER_SIZE = 8;

/**
 * name_to_handle_at(2) of an open descriptor. EOPNOTSUPP: its file system has no handles (pidfds before kernel 6.14).
 */
export function name_to_handle_at(fd: Fd): Call<FileHandle> {
  const handle = new Struct(HEADER_SIZE + MAX_HANDLE_SIZE, [[0, 4, MAX_HANDLE_SIZE]], true);
  const mountId = new Struct(4, [], true);
  return new SystemCall(
    "name_to_handle_at",
    [fd, "", handle, mountId, flags(AT.AT_EMPTY_PATH, { AT_EMPTY_PATH: AT.AT_EMPTY_PATH })],
    () => {
      const size = handle.view().getUint32(0, true);
      return {
        type: handle.view().getInt32(4, true),
        bytes: handle.bytes.slice(HEADER_SIZE, HEADER_SIZE + size),
      };
    },
  );
}

/**
 * open_by_handle_at(2), close-on-exec. ESTALE: what the handle names is gone. EPERM: without CAP_DAC_READ_SEARCH
 * (processes need none).
 * @param mountFd Any descriptor on the handle's file system.
 */
export function open_by_handle_at(mountFd: Fd, handle: FileHandle): Call<number> {
  const { type, bytes } = handle;
  const struct = new Struct(
    HEADER_SIZE + bytes.length,
    [
      [0, 4, bytes.length],
      [4, 4, type],
      ...[...bytes].map((byte, i) => [HEADER_SIZE + i, 1, byte] as const),
    ],
    false,
    () => `{type 0x${type.toString(16)}, ${bytes.length} bytes}`,
  );
  return call("open_by_handle_at", mountFd, struct, flags(O.O_RDONLY | O.O_CLOEXEC, O));
}
