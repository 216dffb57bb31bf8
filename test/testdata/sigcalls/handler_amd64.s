#include "textflag.h"

// func handlerPC() uintptr
TEXT ·handlerPC(SB),NOSPLIT,$0-8
	LEAQ	handler<>(SB), AX
	MOVQ	AX, ret+0(FP)
	RET

// func restorerPC() uintptr
TEXT ·restorerPC(SB),NOSPLIT,$0-8
	LEAQ	restorer<>(SB), AX
	MOVQ	AX, ret+0(FP)
	RET

// handler is called as in C: DI is the signal, SI its siginfo. It copies what a
// kernel tells, and counts.
TEXT handler<>(SB),NOSPLIT|NOFRAME,$0
	MOVQ	0(SI), AX
	MOVQ	AX, ·handled+0(SB)
	MOVQ	8(SI), AX
	MOVQ	AX, ·handled+8(SB)
	MOVQ	16(SI), AX
	MOVQ	AX, ·handled+16(SB)
	MOVQ	24(SI), AX
	MOVQ	AX, ·handled+24(SB)
	MOVQ	32(SI), AX
	MOVQ	AX, ·handled+32(SB)
	MOVQ	40(SI), AX
	MOVQ	AX, ·handled+40(SB)
	LOCK
	INCL	·handledCount(SB)
	RET

// func blockerPC() uintptr
TEXT ·blockerPC(SB),NOSPLIT,$0-8
	LEAQ	blocker<>(SB), AX
	MOVQ	AX, ret+0(FP)
	RET

// blocker makes the thread that it interrupts block what alsoBlock says, by
// changing uc_sigmask of the ucontext in DX. It counts too.
TEXT blocker<>(SB),NOSPLIT|NOFRAME,$0
	MOVQ	·alsoBlock(SB), AX
	ORQ	AX, 296(DX)
	LOCK
	INCL	·handledCount(SB)
	RET

TEXT restorer<>(SB),NOSPLIT|NOFRAME,$0
	MOVL	$15, AX	// rt_sigreturn
	SYSCALL
	INT	$3
