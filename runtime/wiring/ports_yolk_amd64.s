//go:build yolk

#include "textflag.h"

// func outByte(port uint16, v uint8)
TEXT ·outByte(SB),NOSPLIT,$0-3
	MOVW	port+0(FP), DX
	MOVB	v+2(FP), AX
	BYTE	$0xee
	RET

// func OutWord(port, v uint16)
TEXT ·OutWord(SB),NOSPLIT,$0-4
	MOVW	port+0(FP), DX
	MOVW	v+2(FP), AX
	BYTE	$0x66; BYTE $0xef
	RET

// func InWord(port uint16) uint16
TEXT ·InWord(SB),NOSPLIT,$0-10
	MOVW	port+0(FP), DX
	BYTE	$0x66; BYTE $0xed
	MOVW	AX, ret+8(FP)
	RET

// func OutLong(port uint16, v uint32)
TEXT ·OutLong(SB),NOSPLIT,$0-8
	MOVW	port+0(FP), DX
	MOVL	v+4(FP), AX
	BYTE	$0xef
	RET

// func InLong(port uint16) uint32
TEXT ·InLong(SB),NOSPLIT,$0-12
	MOVW	port+0(FP), DX
	BYTE	$0xed
	MOVL	AX, ret+8(FP)
	RET

// func inByte(port uint16) uint8
TEXT ·inByte(SB),NOSPLIT,$0-9
	MOVW	port+0(FP), DX
	BYTE	$0xec
	MOVB	AX, ret+8(FP)
	RET
