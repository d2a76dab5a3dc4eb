# The stub, x86_64: a process that serves system calls over a SOCK_SEQPACKET socket and does nothing else.
# docs/decisions/0001-the-stub.md says why. No libc, no heap, no stack use; position: linked at fixed
# addresses (scripts/stub.ts), because a request carries absolute pointers into `buf`.
#
# A request is one datagram, received at `buf`:
#     u64 count
#     count x { u32 nr; u32 how; u64 arg[6]; i64 next }        64 bytes each
#     data
#   how   bits 0-5   argument i is the address of a u64: load it (that is how a call names an earlier result)
#         bit 31     carry on with the next call when this one fails
#   next  0          go on
#         -1         the result is a descriptor: serve that one from now on (accept4)
#         N > 0      when the result is 0, serve descriptor N from now on and answer at once (clone3's child)
# Each result replaces { nr, how }; the whole datagram goes back. A call that fails with EINTR is made again, and so is
# openat2 with EAGAIN: somebody renamed or mounted something, anywhere, while it walked through a "..".
# The peer's end of file, and any error on the socket but EINTR, ends the process.
#
# Registers: ebp descriptor served, r15 datagram length, r14 calls left, rbx current call, r12d how.

.set EINTR, -4
.set EAGAIN, -11
.set OPENAT2, 437

.globl _start
.text
_start:
        mov     $3, %ebp
serve:
        mov     $45, %eax                # recvfrom(ebp, buf, sizeof buf, 0, 0, 0)
        mov     %ebp, %edi
        mov     $buf, %esi
        mov     $BUFSZ, %edx
        xor     %r10d, %r10d
        xor     %r8d, %r8d
        xor     %r9d, %r9d
        syscall
        cmp     $EINTR, %rax
        je      serve
        test    %rax, %rax
        jle     quit
        mov     %rax, %r15
        mov     $buf, %ebx
        mov     (%rbx), %r14
        add     $8, %rbx
call:
        mov     4(%rbx), %r12d
        mov     %r12d, %ecx              # indirect arguments: replace the address by what is there
        and     $0x3f, %ecx
        lea     8(%rbx), %rdx
indirect:
        jz      load                     # ZF: no bits left
        shr     %ecx
        jnc     direct
        mov     (%rdx), %rax
        mov     (%rax), %rax
        mov     %rax, (%rdx)
direct:
        add     $8, %rdx
        test    %ecx, %ecx
        jmp     indirect
load:
        mov     8(%rbx), %rdi
        mov     16(%rbx), %rsi
        mov     24(%rbx), %rdx
        mov     32(%rbx), %r10
        mov     40(%rbx), %r8
        mov     48(%rbx), %r9
again:
        mov     (%rbx), %eax
        syscall                          # clobbers rax, rcx, r11 only
        cmp     $EINTR, %rax
        je      again
        cmp     $EAGAIN, %rax
        jne     result
        cmpl    $OPENAT2, (%rbx)
        je      again
result:
        mov     %rax, (%rbx)
        cmp     $-4096, %rax
        ja      failed
        mov     56(%rbx), %rcx
        test    %rcx, %rcx
        jz      done
        js      adopt
        test    %rax, %rax
        jnz     done
        mov     %ecx, %ebp
        jmp     reply
adopt:
        mov     %eax, %ebp
        jmp     done
failed:
        test    %r12d, %r12d
        jns     reply
done:
        add     $64, %rbx
        dec     %r14
        jnz     call
reply:
        mov     $44, %eax                # sendto(ebp, buf, length, MSG_NOSIGNAL, 0, 0)
        mov     %ebp, %edi
        mov     $buf, %esi
        mov     %r15, %rdx
        mov     $0x4000, %r10d
        xor     %r8d, %r8d
        xor     %r9d, %r9d
        syscall
        cmp     $EINTR, %rax
        je      reply
        jmp     serve
quit:
        mov     $231, %eax               # exit_group(0)
        xor     %edi, %edi
        syscall

.bss
.balign 4096
buf:    .skip BUFSZ
.section .note.GNU-stack,"",@progbits
