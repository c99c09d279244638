#include "textflag.h"

// func mark(pid, tid, sig uintptr)
TEXT ·mark(SB),NOSPLIT,$0-24
	MOVQ pid+0(FP), DI
	MOVQ tid+8(FP), SI
	MOVQ sig+16(FP), DX
	MOVQ $234, AX // tgkill
	SYSCALL
	RET
