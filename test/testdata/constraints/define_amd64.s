#include "textflag.h"

// func define() int
TEXT ·define(SB), NOSPLIT, $0-8
#ifdef GOOS_linux
	MOVQ $1, ret+0(FP)
#else
	MOVQ $0, ret+0(FP)
#endif
	RET
