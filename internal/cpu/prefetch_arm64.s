#include "textflag.h"

// func PrefetchW(a, b uintptr)
TEXT ·PrefetchW(SB), NOSPLIT, $0-16
	MOVD a+0(FP), R0
	MOVD b+8(FP), R1
	PRFM (R0), PSTL1KEEP
	PRFM (R1), PSTL1KEEP
	RET

// func Prefetch(r, w uintptr)
TEXT ·Prefetch(SB), NOSPLIT, $0-16
	MOVD r+0(FP), R0
	MOVD w+8(FP), R1
	PRFM (R0), PLDL1KEEP
	PRFM (R1), PSTL1KEEP
	RET
