// A process whose first thread has ended and whose other threads go on, one of them in a network namespace of its own.
// It prints that namespace's inode; whoever has read that waits until the first thread is a zombie.
import { syscall } from "../../ffi/libc.ts";
import { NetnsWorker } from "../../runtime/netns/netns_worker.ts";
import { thread } from "../ffi_world.ts";

/** exit(2): of the calling thread alone (asm/unistd_64.h, asm-generic/unistd.h). */
const NR_EXIT = Deno.build.arch === "x86_64" ? 60 : 93;

const worker = await NetnsWorker.enter(thread, "new");
console.log(worker.inode);
syscall(NR_EXIT, [0, 0, 0, 0, 0, 0]);
