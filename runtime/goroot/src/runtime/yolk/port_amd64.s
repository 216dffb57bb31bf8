//go:build tamago

#include "textflag.h"

// func outByte(port uint16, v uint8)
TEXT ·outByte(SB),NOSPLIT,$0-3
	MOVW	port+0(FP), DX
	MOVB	v+2(FP), AX
	BYTE	$0xee
	RET

// func outLong(port uint16, v uint32)
TEXT ·outLong(SB),NOSPLIT,$0-8
	MOVW	port+0(FP), DX
	MOVL	v+4(FP), AX
	BYTE	$0xef
	RET

// func inLong(port uint16) uint32
TEXT ·inLong(SB),NOSPLIT,$0-12
	MOVW	port+0(FP), DX
	BYTE	$0xed
	MOVL	AX, ret+8(FP)
	RET
