#include "textflag.h"

// func PrefetchW(a, b uintptr)
TEXT ·PrefetchW(SB), NOSPLIT, $0-16
	MOVQ a+0(FP), AX
	MOVQ b+8(FP), CX
	BYTE $0x0f; BYTE $0x0d; BYTE $0x08 // PREFETCHW (AX)
	BYTE $0x0f; BYTE $0x0d; BYTE $0x09 // PREFETCHW (CX)
	RET

// func Prefetch(r, w uintptr)
TEXT ·Prefetch(SB), NOSPLIT, $0-16
	MOVQ r+0(FP), AX
	MOVQ w+8(FP), CX
	PREFETCHT0 (AX)
	BYTE $0x0f; BYTE $0x0d; BYTE $0x09 // PREFETCHW (CX)
	RET

// func Demote(p, n uintptr)
TEXT ·Demote(SB), NOSPLIT, $0-16
	MOVQ p+0(FP), AX
	MOVQ n+8(FP), CX
line:
	BYTE $0x0f; BYTE $0x1c; BYTE $0x00 // CLDEMOTE (AX), elsewhere a NOP
	ADDQ $64, AX
	SUBQ $64, CX
	JHI  line
	RET
