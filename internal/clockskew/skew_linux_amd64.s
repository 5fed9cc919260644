#include "textflag.h"

// func shimAddress() uintptr
TEXT ·shimAddress(SB), NOSPLIT, $0-8
	LEAQ	shim<>(SB), AX
	MOVQ	AX, ret+0(FP)
	RET

// shim is clock_gettime(clock DI, to SI) as C calls it, on a stack of the runtime's. It keeps
// the registers that C functions keep.
TEXT shim<>(SB), NOSPLIT|NOFRAME, $0
	PUSHQ	DI
	PUSHQ	SI
	SUBQ	$8, SP // C wants the stack aligned to 16
	MOVQ	·real(SB), AX
	CALL	AX
	ADDQ	$8, SP
	POPQ	SI
	POPQ	DI
	CMPL	DI, $0 // CLOCK_REALTIME
	JNE	done
	MOVQ	·seconds(SB), CX
	ADDQ	CX, 0(SI)
done:
	RET
