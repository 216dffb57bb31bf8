//go:build tamago

#include "textflag.h"

// func outByte(port uint16, v uint8)
TEXT ·outByte(SB),NOSPLIT,$0-3
	MOVW	port+0(FP), DX
	MOVB	v+2(FP), AX
	BYTE	$0xee
	RET
