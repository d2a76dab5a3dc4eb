# A signal handler, x86_64, that hands the signal on to another process: void handler(int signal). It runs on whichever
# thread the kernel chooses, in the middle of anything: no libc, no errno, no memory of its own but the pidfd, which lies
# in a page beside it. ffi/signal_relay.ts says why there is one, and maps it.

.set PIDFD, handler + DISTANCE

.globl handler
.text
handler:
        mov     %edi, %esi               # pidfd_send_signal(pidfd, signal, NULL, 0); without a process it is EBADF
        mov     PIDFD(%rip), %edi
        xor     %edx, %edx
        xor     %r10d, %r10d
        mov     $424, %eax
        syscall
        ret                              # to `restorer`: the kernel has put its address there

.org RESTORER
restorer:
        mov     $15, %eax                # rt_sigreturn()
        syscall
