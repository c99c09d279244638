#include "textflag.h"

// func Pause(n uint32)
TEXT ·Pause(SB), NOSPLIT, $0-4
	MOVWU n+0(FP), R0
loop:
	ISB  $15
	SUBS $1, R0, R0
	BHI  loop
	RET
