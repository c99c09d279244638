#include "textflag.h"

// func mark(pid, tid, sig uintptr)
TEXT ·mark(SB),NOSPLIT,$0-24
	MOVD pid+0(FP), R0
	MOVD tid+8(FP), R1
	MOVD sig+16(FP), R2
	MOVD $131, R8 // tgkill
	SVC
	RET
