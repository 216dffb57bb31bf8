//go:build tamago

#include "go_asm.h"
#include "textflag.h"

// The PVH note: an ELF note of owner "Xen" and type 18
// (XEN_ELFNOTE_PHYS32_ENTRY) whose descriptor is the 32-bit entry point. The
// linker points a PT_NOTE at it.
DATA runtime·pvhNote+0(SB)/4, $4
DATA runtime·pvhNote+4(SB)/4, $8
DATA runtime·pvhNote+8(SB)/4, $18
DATA runtime·pvhNote+12(SB)/4, $0x006e6558
DATA runtime·pvhNote+16(SB)/8, $runtime·pvhEntry(SB)
GLOBL runtime·pvhNote(SB), RODATA|NOPTR, $24

// func machKeep() uintptr
// machKeep returns the address of the note, which keeps it, and with it the
// whole boot path, from being dropped by the linker.
TEXT runtime·machKeep<ABIInternal>(SB),NOSPLIT|NOFRAME,$0
	LEAQ	runtime·pvhNote(SB), AX
	RET

// pvhEntry is where the VMM starts: 32-bit protected mode, paging off, EBX =
// start info, no stack (PVH ABI). Every instruction here is one whose encoding
// is the same in 32-bit and 64-bit mode, or bytes. It enters long mode with
// the first 4 GiB mapped at 0; pvhEntry64 adds the direct map.
//
// The early area is the 88 KiB after the data segment:
//
//	0x0000 PML4, 0x1000 PDPT, 0x2000-0x5fff four page directories
//	0x6000 GDT, TSS    0x7000 g of the machine half    0x8000 machCPU
//	0x9000 boot.Info   0xa000 IDT                      (zeroed up to here)
//	0xb000-0x12fff stack    -0x14fff trap stack    -0x15fff double fault stack
//
// Registers: BX start info, BP early area, SI address of the last mark.
TEXT runtime·pvhEntry(SB),NOSPLIT|NOFRAME,$0
	CLI
	CLD
	// There is no stack yet and the code must find its own address: borrow
	// the first word of the start info for one call.
	MOVL	0(BX), DI
	LEAL	4(BX), SP
	BYTE	$0xe8; LONG $0			// CALL mark
	BYTE	$0x5e				// mark: POPL SI
	LEAL	runtime·edata(SB), AX		// displacement only
	LEAL	7(SI)(AX*1), BP			// + end of that instruction
	LEAL	runtime·tooLarge(SB), AX
	LEAL	17(SI)(AX*1), DX		// and of this one
	MOVL	DI, 0(BX)
	ADDL	$0xfff, BP
	ANDL	$0xfffff000, BP
	LEAL	0x13000(BP), SP

	// Is there memory where the early area is to end?
	MOVL	$0x6b6c6f79, AX
	MOVL	AX, 0x15ffc(BP)
	CMPL	0x15ffc(BP), AX
	JNE	large

	// Zero the early area up to the stacks.
	MOVL	BP, DI
	XORL	AX, AX
	MOVL	$0x2c00, CX
	BYTE	$0xf3; BYTE $0xab		// REP STOSL

	LEAL	0x1003(BP), AX
	MOVL	AX, 0(BP)
	LEAL	0x2003(BP), AX
	MOVL	AX, 0x1000(BP)
	ADDL	$0x1000, AX
	MOVL	AX, 0x1008(BP)
	ADDL	$0x1000, AX
	MOVL	AX, 0x1010(BP)
	ADDL	$0x1000, AX
	MOVL	AX, 0x1018(BP)
	// 2048 pages of 2 MiB: present, writable, large.
	LEAL	0x2000(BP), DI
	MOVL	$0x83, AX
	MOVL	$2048, CX
pages:
	MOVL	AX, 0(DI)
	ADDL	$8, DI
	ADDL	$0x200000, AX
	DECL	CX
	JNE	pages

	// GDT: code at 8, data at 16 (the selectors that SYSCALL needs), TSS
	// later at 24. The pseudo-descriptor is at 0x6ff0.
	MOVL	$0x0000ffff, 0x6008(BP)
	MOVL	$0x00af9b00, 0x600c(BP)
	MOVL	$0x0000ffff, 0x6010(BP)
	MOVL	$0x00cf9300, 0x6014(BP)
	LEAL	0x6000(BP), AX
	MOVL	$0x00270000, 0x6ff0(BP)
	MOVL	AX, 0x6ff4(BP)
	BYTE	$0x0f; BYTE $0x01; BYTE $0x95; LONG $0x6ff2	// LGDT 0x6ff2(BP)

	MOVL	BP, AX
	BYTE	$0x0f; BYTE $0x22; BYTE $0xd8	// MOVL AX, CR3
	BYTE	$0x0f; BYTE $0x20; BYTE $0xe0	// MOVL CR4, AX
	ORL	$0x620, AX			// PAE, OSFXSR, OSXMMEXCPT
	BYTE	$0x0f; BYTE $0x22; BYTE $0xe0	// MOVL AX, CR4
	MOVL	$0xc0000080, CX			// EFER
	BYTE	$0x0f; BYTE $0x32		// RDMSR
	ORL	$0x901, AX			// NXE, LME, SCE
	BYTE	$0x0f; BYTE $0x30		// WRMSR
	BYTE	$0x0f; BYTE $0x20; BYTE $0xc0	// MOVL CR0, AX
	ORL	$0x80010023, AX			// PG, WP, NE, MP, PE
	ANDL	$0xfffffff3, AX			// no TS, EM
	BYTE	$0x0f; BYTE $0x22; BYTE $0xc0	// MOVL AX, CR0

	BYTE	$0xe8; LONG $0			// CALL mark
	BYTE	$0x5e				// mark: POPL SI
	LEAL	runtime·pvhEntry64(SB), AX
	LEAL	7(SI)(AX*1), AX
	BYTE	$0x6a; BYTE $8			// PUSHL $8
	BYTE	$0x50				// PUSHL AX
	BYTE	$0xcb				// LRET

	// Say so on the serial port and reset, with an interrupt that nothing
	// receives: the interrupt table is the zeros after the text.
large:
	MOVL	DX, SI
	MOVL	$0x3f8, DX
text:
	BYTE	$0xac				// LODSB
	TESTB	AX, AX
	JEQ	reset
	BYTE	$0xee				// OUTB AL, DX
	JMP	text
reset:
	BYTE	$0x0f; BYTE $0x01; BYTE $0x1e	// LIDT 0(SI)
	INT	$3

// tooLarge is what a machine says that has less memory than the image, with
// zeros at its end.
DATA runtime·tooLarge+0(SB)/8, $"yolk: th"
DATA runtime·tooLarge+8(SB)/8, $"e machin"
DATA runtime·tooLarge+16(SB)/8, $"e has le"
DATA runtime·tooLarge+24(SB)/8, $"ss memor"
DATA runtime·tooLarge+32(SB)/8, $"y than t"
DATA runtime·tooLarge+40(SB)/8, $"he image"
DATA runtime·tooLarge+48(SB)/8, $"; give i"
DATA runtime·tooLarge+56(SB)/8, $"t more\r\n"
GLOBL runtime·tooLarge(SB), RODATA|NOPTR, $80

TEXT runtime·pvhEntry64(SB),NOSPLIT|NOFRAME,$0
	MOVL	$16, AX
	BYTE	$0x8e; BYTE $0xd8		// MOVW AX, DS
	BYTE	$0x8e; BYTE $0xc0		// MOVW AX, ES
	BYTE	$0x8e; BYTE $0xd0		// MOVW AX, SS
	XORL	AX, AX
	BYTE	$0x8e; BYTE $0xe0		// MOVW AX, FS
	BYTE	$0x8e; BYTE $0xe8		// MOVW AX, GS
	MOVL	BP, BP
	LEAQ	(0x13000-32)(BP), SP	// the lowest 16 bytes are for the callee
	MOVL	BX, 16(SP)
	MOVQ	BP, 24(SP)
	MOVQ	BP, AX
	XORPS	X15, X15
	CALL	runtime·bootPlaces<ABIInternal>(SB)
	MOVQ	AX, DX			// the direct map
	MOVL	16(SP), AX
	MOVQ	24(SP), BP
	LEAQ	0x13000(BP)(DX*1), SP
	LEAQ	0x7000(BP)(DX*1), R14
	LEAQ	0xb000(BP)(DX*1), CX
	MOVQ	CX, (g_stack+stack_lo)(R14)
	MOVQ	SP, (g_stack+stack_hi)(R14)
	ADDQ	$const_stackGuard, CX
	MOVQ	CX, g_stackguard0(R14)
	MOVQ	CX, g_stackguard1(R14)
	XORPS	X15, X15
	MOVQ	BP, BX
	XORL	BP, BP
	CALL	runtime·machBoot<ABIInternal>(SB)
	INT	$3

// machTrampoline is copied to trampolineAt, where a start-up interrupt makes a
// further CPU begin: real mode, CS = trampolineAt/16. It goes to 64-bit mode in
// one step. The assembler knows no 16-bit code, so these are bytes.
TEXT runtime·machTrampoline<ABIInternal>(SB),NOSPLIT|NOFRAME,$0
	BYTE $0xfa; BYTE $0xfc						// CLI; CLD
	BYTE $0x31; BYTE $0xc0						// XORW AX, AX
	BYTE $0x8e; BYTE $0xd8						// MOVW AX, DS
	BYTE $0x66; BYTE $0x0f; BYTE $0x01; BYTE $0x16; WORD $0x8fe0	// LGDTL 0x8fe0
	BYTE $0x0f; BYTE $0x20; BYTE $0xe0				// MOVL CR4, AX
	BYTE $0x66; BYTE $0x0d; LONG $0x620				// ORL: PAE, OSFXSR, OSXMMEXCPT
	BYTE $0x0f; BYTE $0x22; BYTE $0xe0				// MOVL AX, CR4
	BYTE $0x66; BYTE $0xa1; WORD $0x8fe8				// MOVL 0x8fe8, AX
	BYTE $0x0f; BYTE $0x22; BYTE $0xd8				// MOVL AX, CR3
	BYTE $0x66; BYTE $0xb9; LONG $0xc0000080			// MOVL $EFER, CX
	BYTE $0x0f; BYTE $0x32						// RDMSR
	BYTE $0x66; BYTE $0x0d; LONG $0x901				// ORL: NXE, LME, SCE
	BYTE $0x0f; BYTE $0x30						// WRMSR
	BYTE $0x0f; BYTE $0x20; BYTE $0xc0				// MOVL CR0, AX
	BYTE $0x66; BYTE $0x0d; LONG $0x80010023			// ORL: PG, WP, NE, MP, PE
	BYTE $0x66; BYTE $0x25; LONG $0x9ffffff3			// ANDL: no CD, NW, TS, EM
	BYTE $0x0f; BYTE $0x22; BYTE $0xc0				// MOVL AX, CR0
	BYTE $0x66; BYTE $0xea; LONG $0x8049; WORD $8			// LJMPL $8, the next instruction
	BYTE $0x48; BYTE $0x8b; BYTE $0x04; BYTE $0x25; LONG $0x8ff0	// MOVQ 0x8ff0, AX
	BYTE $0xff; BYTE $0xe0						// JMP AX
TEXT runtime·machTrampolineEnd<ABIInternal>(SB),NOSPLIT|NOFRAME,$0
	RET

// machAPEntry goes on in 64-bit mode; BX becomes the machCPU.
TEXT runtime·machAPEntry<ABIInternal>(SB),NOSPLIT|NOFRAME,$0
	MOVL	$16, AX
	BYTE	$0x8e; BYTE $0xd8		// MOVW AX, DS
	BYTE	$0x8e; BYTE $0xc0		// MOVW AX, ES
	BYTE	$0x8e; BYTE $0xd0		// MOVW AX, SS
	XORL	AX, AX
	BYTE	$0x8e; BYTE $0xe0		// MOVW AX, FS
	BYTE	$0x8e; BYTE $0xe8		// MOVW AX, GS
	MOVQ	runtime·mach+(machState_smp+machSMP_next)(SB), BX
	MOVQ	machCPU_stack(BX), SP
	SUBQ	$16, SP			// where the callee may spill its argument
	MOVQ	machCPU_g(BX), R14
	XORPS	X15, X15
	XORL	BP, BP
	MOVQ	BX, AX
	CALL	runtime·machAPBoot<ABIInternal>(SB)
	INT	$3
