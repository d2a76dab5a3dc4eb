// The stub, aarch64. The protocol and the reasons stand in x86_64.S.
// Registers: w19 descriptor served, x20 datagram length, x21 calls left, x22 current call, w23 how, x24 buf.

.globl _start
.text
_start:
        mov     w19, #3
        ldr     x24, =buf
serve:
        mov     x8, #207                 // recvfrom(w19, buf, sizeof buf, 0, 0, 0)
        mov     w0, w19
        mov     x1, x24
        ldr     x2, =BUFSZ
        mov     x3, #0
        mov     x4, #0
        mov     x5, #0
        svc     #0
        cmn     x0, #4                   // EINTR
        b.eq    serve
        cmp     x0, #0
        b.le    quit
        mov     x20, x0
        ldr     x21, [x24]
        add     x22, x24, #8
call:
        ldr     w23, [x22, #4]
        and     w9, w23, #0x3f           // indirect arguments: replace the address by what is there
        add     x10, x22, #8
indirect:
        cbz     w9, load
        tbz     w9, #0, direct
        ldr     x11, [x10]
        ldr     x11, [x11]
        str     x11, [x10]
direct:
        lsr     w9, w9, #1
        add     x10, x10, #8
        b       indirect
load:
        ldr     x25, [x22, #8]
again:
        mov     x0, x25
        ldp     x1, x2, [x22, #16]
        ldp     x3, x4, [x22, #32]
        ldr     x5, [x22, #48]
        ldr     w8, [x22]
        svc     #0
        cmn     x0, #4                   // EINTR
        b.eq    again
        cmn     x0, #11                  // EAGAIN
        b.ne    result
        cmp     w8, #437                 // openat2
        b.eq    again
result:
        str     x0, [x22]
        cmn     x0, #4095                // -4095..-1 as unsigned are the highest values
        b.hs    failed
        ldr     x9, [x22, #56]
        cbz     x9, done
        tbnz    x9, #63, adopt
        cbnz    x0, done
        mov     w19, w9
        b       reply
adopt:
        mov     w19, w0
        b       done
failed:
        tbz     w23, #31, reply
done:
        add     x22, x22, #64
        subs    x21, x21, #1
        b.ne    call
reply:
        mov     x8, #206                 // sendto(w19, buf, length, MSG_NOSIGNAL, 0, 0)
        mov     w0, w19
        mov     x1, x24
        mov     x2, x20
        mov     x3, #0x4000
        mov     x4, #0
        mov     x5, #0
        svc     #0
        cmn     x0, #4
        b.eq    reply
        b       serve
quit:
        mov     x8, #94                  // exit_group(0)
        mov     x0, #0
        svc     #0
        .ltorg

.bss
.balign 4096
buf:    .skip BUFSZ
.section .note.GNU-stack,"",@progbits
