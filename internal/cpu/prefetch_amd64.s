#include "textflag.h"

// func PrefetchW(a, b uintptr)
TEXT ·PrefetchW(SB), NOSPLIT, $0-16
	MOVQ a+0(FP), AX
	MOVQ b+8(FP), CX
	BYTE $0x0f; BYTE $0x0d; BYTE $0x08 // PREFETCHW (AX)
	BYTE $0x0f; BYTE $0x0d; BYTE $0x09 // PREFETCHW (CX)
	RET
