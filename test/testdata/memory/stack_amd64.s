#include "textflag.h"

// func systemStack() (lo, hi uintptr)
TEXT ·systemStack(SB),NOSPLIT,$0-16
	MOVQ	48(R14), AX	// g.m
	MOVQ	0(AX), AX	// m.g0
	MOVQ	0(AX), BX	// g.stack.lo
	MOVQ	8(AX), CX	// g.stack.hi
	MOVQ	BX, lo+0(FP)
	MOVQ	CX, hi+8(FP)
	RET
