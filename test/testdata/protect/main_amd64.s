#include "textflag.h"

// func pushForever()
TEXT ·pushForever(SB),NOSPLIT|NOFRAME,$0
	MOVQ	48(R14), AX	// g.m
	MOVQ	0(AX), AX	// m.g0
	MOVQ	8(AX), SP	// g.stack.hi
again:
	PUSHQ	AX
	JMP	again

// func idt() uintptr
TEXT ·idt(SB), NOSPLIT, $16-8
	BYTE $0x0f; BYTE $0x01; BYTE $0x4c; BYTE $0x24; BYTE $0x00	// SIDT 0(SP)
	MOVQ 2(SP), AX
	MOVQ AX, ret+0(FP)
	RET

// func gdt() uintptr
TEXT ·gdt(SB), NOSPLIT, $16-8
	BYTE $0x0f; BYTE $0x01; BYTE $0x44; BYTE $0x24; BYTE $0x00	// SGDT 0(SP)
	MOVQ 2(SP), AX
	MOVQ AX, ret+0(FP)
	RET
