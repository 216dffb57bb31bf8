# A guest that ends QEMU at its first instruction, through isa-debug-exit: what
# the VMM alone costs. PVH entry: a note of owner "Xen" and type 18 holds the
# 32-bit entry point.
	.section .note.Xen, "a", @note
	.long 4, 4, 18
	.asciz "Xen"
	.long _start
	.text
	.code32
	.globl _start
_start:
	movl $0x10, %eax
	outl %eax, $0xf4
1:	hlt
	jmp 1b
