//go:build tamago

#include "go_asm.h"
#include "textflag.h"

// The ways into the machine half and back. GS holds the machCPU; its offsets:
#define CPU_cur		(machCPU_cur)(GS)
#define CPU_stack	(machCPU_stack)(GS)
#define CPU_g		(machCPU_g)(GS)
#define CPU_inside	(machCPU_inside)(GS)
#define CPU_scratch	(machCPU_scratch)(GS)
#define CPU_self	(machCPU_self)(GS)
#define CPU_idle	(machCPU_idle)(GS)
#define CPU_user	(machCPU_user)(GS)

// SAVE stores the registers that both entries save the same way; R14 is the
// machThread.
#define SAVE \
	MOVQ	AX, machThread_ax(R14) \
	MOVQ	BX, machThread_bx(R14) \
	MOVQ	CX, machThread_cx(R14) \
	MOVQ	DX, machThread_dx(R14) \
	MOVQ	SI, machThread_si(R14) \
	MOVQ	DI, machThread_di(R14) \
	MOVQ	BP, machThread_bp(R14) \
	MOVQ	R8, machThread_r8(R14) \
	MOVQ	R9, machThread_r9(R14) \
	MOVQ	R10, machThread_r10(R14) \
	MOVQ	R11, machThread_r11(R14) \
	MOVQ	R12, machThread_r12(R14) \
	MOVQ	R13, machThread_r13(R14) \
	MOVQ	R15, machThread_r15(R14) \
	MOVQ	CPU_scratch, AX \
	MOVQ	AX, machThread_r14(R14)

#define RESTORE \
	MOVQ	machThread_ax(R14), AX \
	MOVQ	machThread_bx(R14), BX \
	MOVQ	machThread_dx(R14), DX \
	MOVQ	machThread_si(R14), SI \
	MOVQ	machThread_di(R14), DI \
	MOVQ	machThread_bp(R14), BP \
	MOVQ	machThread_r8(R14), R8 \
	MOVQ	machThread_r9(R14), R9 \
	MOVQ	machThread_r10(R14), R10 \
	MOVQ	machThread_r12(R14), R12 \
	MOVQ	machThread_r13(R14), R13 \
	MOVQ	machThread_r15(R14), R15

// machSyscallEntry is LSTAR: SYSCALL at CPL 0 left RIP in CX and RFLAGS in
// R11, cleared IF and DF (FMASK), and did not touch the stack. No thread
// expects vector registers to survive a system call.
TEXT runtime·machSyscallEntry<ABIInternal>(SB),NOSPLIT|NOFRAME,$0
	MOVQ	R14, CPU_scratch
	MOVQ	CPU_cur, R14
	SAVE
	MOVQ	CX, machThread_ip(R14)
	MOVQ	R11, machThread_flags(R14)
	MOVQ	SP, machThread_sp(R14)
	MOVL	$const_ctxSyscall, machThread_ctx(R14)
	MOVL	$1, CPU_inside
	MOVQ	CPU_stack, SP
	MOVQ	CPU_g, R14
	XORPS	X15, X15
	CALL	runtime·machSyscall<ABIInternal>(SB)
	JMP	runtime·machResume<ABIInternal>(SB)

// func machResume()
// machResume leaves the machine half, and its lock, for the CPU's current
// thread, which no other CPU touches.
TEXT runtime·machResume<ABIInternal>(SB),NOSPLIT|NOFRAME,$0
	MOVQ	CPU_cur, R14
	XORL	AX, AX
	CMPQ	R14, CPU_idle
	SETNE	AL
	MOVL	AX, CPU_user
	MOVL	$0, runtime·mach+machState_lock(SB)	// the other CPUs' turn
	CMPL	machThread_ctx(R14), $const_ctxSyscall
	JNE	full
	RESTORE
	MOVQ	machThread_ip(R14), CX
	MOVQ	machThread_sp(R14), SP
	MOVQ	machThread_r14(R14), R14
	MOVL	$0, CPU_inside
	STI			// takes effect after the jump
	JMP	CX
full:
	CMPL	machThread_ctx(R14), $const_ctxFPU
	JNE	nofpu
	MOVQ	machThread_fpu(R14), DI
	MOVL	$-1, AX
	MOVL	$-1, DX
	CMPL	runtime·machXSave(SB), $0
	JEQ	fxrstor
	BYTE	$0x48; BYTE $0x0f; BYTE $0xae; BYTE $0x2f	// XRSTOR64 (DI)
	JMP	nofpu
fxrstor:
	BYTE	$0x48; BYTE $0x0f; BYTE $0xae; BYTE $0x0f	// FXRSTOR64 (DI)
nofpu:
	MOVQ	CPU_stack, SP
	SUBQ	$40, SP
	MOVQ	machThread_ip(R14), AX
	MOVQ	AX, 0(SP)
	MOVQ	$8, 8(SP)
	MOVQ	machThread_flags(R14), AX
	MOVQ	AX, 16(SP)
	MOVQ	machThread_sp(R14), AX
	MOVQ	AX, 24(SP)
	MOVQ	$16, 32(SP)
	RESTORE
	MOVQ	machThread_cx(R14), CX
	MOVQ	machThread_r11(R14), R11
	MOVQ	machThread_r14(R14), R14
	MOVL	$0, CPU_inside
	IRETQ

// func thisCPU() *machCPU
TEXT runtime·thisCPU<ABIInternal>(SB),NOSPLIT|NOFRAME,$0
	MOVQ	CPU_self, AX
	RET

// machIdle is what the idle thread runs.
TEXT runtime·machIdle<ABIInternal>(SB),NOSPLIT|NOFRAME,$0
idle:
	STI
	HLT
	JMP	idle

// The vectors. Each entry is 8 bytes; the address that CALL pushes tells which
// one it was. ERR marks the exceptions for which the CPU pushes an error code
// itself. (PUSH is written as bytes: the assembler would add them all up.)
#define NOERR	BYTE $0x6a; BYTE $0x00; CALL runtime·machTrapEntry(SB); BYTE $0xcc
#define ERR	BYTE $0x66; BYTE $0x90; CALL runtime·machTrapEntry(SB); BYTE $0xcc
#define NOERR8	NOERR; NOERR; NOERR; NOERR; NOERR; NOERR; NOERR; NOERR

TEXT runtime·machVectors<ABIInternal>(SB),NOSPLIT|NOFRAME,$0
	NOERR8			// 0-7
	ERR; NOERR; ERR; ERR; ERR; ERR; ERR; NOERR	// 8-15: DF, TS, NP, SS, GP, PF
	NOERR; ERR; NOERR; NOERR; NOERR; ERR; NOERR; NOERR	// 16-23: AC, CP
	NOERR; NOERR; NOERR; NOERR; NOERR; ERR; ERR; NOERR	// 24-31: VC, SX
	NOERR8; NOERR8; NOERR8; NOERR8	// 32-63
	NOERR8; NOERR8; NOERR8; NOERR8	// 64-95
	NOERR8; NOERR8; NOERR8; NOERR8	// 96-127

// machTrapEntry takes every exception and interrupt, on the trap stack (IST):
// 0(SP) identifies the vector, then error code, RIP, CS, RFLAGS, RSP, SS.
TEXT runtime·machTrapEntry(SB),NOSPLIT|NOFRAME,$0
	CMPL	CPU_inside, $0
	JNE	nested
	MOVQ	R14, CPU_scratch
	MOVQ	CPU_cur, R14
	SAVE
	// QEMU leaves a null SS behind an interrupt stack, and translates all
	// code a second time for it. SYSCALL and IRETQ load this one.
	MOVL	$16, AX
	BYTE	$0x8e; BYTE $0xd0	// MOVW AX, SS
	MOVQ	0(SP), AX
	LEAQ	runtime·machVectors<ABIInternal>(SB), CX
	SUBQ	CX, AX
	SHRQ	$3, AX
	MOVQ	AX, machThread_trap(R14)
	MOVQ	8(SP), AX
	MOVQ	AX, machThread_trapErr(R14)
	MOVQ	16(SP), AX
	MOVQ	AX, machThread_ip(R14)
	MOVQ	32(SP), AX
	MOVQ	AX, machThread_flags(R14)
	MOVQ	40(SP), AX
	MOVQ	AX, machThread_sp(R14)
	BYTE	$0x0f; BYTE $0x20; BYTE $0xd0	// MOVQ CR2, AX
	MOVQ	AX, machThread_cr2(R14)
	MOVQ	machThread_fpu(R14), DI
	MOVL	$-1, AX
	MOVL	$-1, DX
	CMPL	runtime·machXSave(SB), $0
	JEQ	fxsave
	BYTE	$0x48; BYTE $0x0f; BYTE $0xae; BYTE $0x27	// XSAVE64 (DI)
	JMP	saved
fxsave:
	BYTE	$0x48; BYTE $0x0f; BYTE $0xae; BYTE $0x07	// FXSAVE64 (DI)
saved:
	MOVL	$const_ctxFPU, machThread_ctx(R14)
	MOVL	$1, CPU_inside
	MOVQ	CPU_stack, SP
	MOVQ	CPU_g, R14
	XORPS	X15, X15
	CLD
	CALL	runtime·machTrap<ABIInternal>(SB)
	JMP	runtime·machResume<ABIInternal>(SB)

nested:
	// The machine half itself touched memory that is mapped on demand (or
	// has a bug): interrupts are off there, so this is an
	// exception. The lowest 64 bytes are the callee's spill space.
	SUBQ	$(64+512+120), SP
	MOVQ	AX, 576(SP)
	MOVQ	BX, 584(SP)
	MOVQ	CX, 592(SP)
	MOVQ	DX, 600(SP)
	MOVQ	SI, 608(SP)
	MOVQ	DI, 616(SP)
	MOVQ	BP, 624(SP)
	MOVQ	R8, 632(SP)
	MOVQ	R9, 640(SP)
	MOVQ	R10, 648(SP)
	MOVQ	R11, 656(SP)
	MOVQ	R12, 664(SP)
	MOVQ	R13, 672(SP)
	MOVQ	R14, 680(SP)
	MOVQ	R15, 688(SP)
	BYTE	$0x48; BYTE $0x0f; BYTE $0xae; BYTE $0x44; BYTE $0x24; BYTE $0x40	// FXSAVE64 64(SP)
	MOVL	$16, AX
	BYTE	$0x8e; BYTE $0xd0	// MOVW AX, SS
	MOVQ	696(SP), AX
	LEAQ	runtime·machVectors<ABIInternal>(SB), CX
	SUBQ	CX, AX
	SHRQ	$3, AX			// vector
	MOVQ	704(SP), BX		// error code
	BYTE	$0x0f; BYTE $0x20; BYTE $0xd1	// MOVQ CR2, CX
	MOVQ	712(SP), DI		// RIP
	MOVQ	736(SP), SI		// RSP
	MOVQ	CPU_g, R14
	XORPS	X15, X15
	CLD
	CALL	runtime·machNested<ABIInternal>(SB)
	BYTE	$0x48; BYTE $0x0f; BYTE $0xae; BYTE $0x4c; BYTE $0x24; BYTE $0x40	// FXRSTOR64 64(SP)
	MOVQ	576(SP), AX
	MOVQ	584(SP), BX
	MOVQ	592(SP), CX
	MOVQ	600(SP), DX
	MOVQ	608(SP), SI
	MOVQ	616(SP), DI
	MOVQ	624(SP), BP
	MOVQ	632(SP), R8
	MOVQ	640(SP), R9
	MOVQ	648(SP), R10
	MOVQ	656(SP), R11
	MOVQ	664(SP), R12
	MOVQ	672(SP), R13
	MOVQ	680(SP), R14
	MOVQ	688(SP), R15
	ADDQ	$(64+512+120+16), SP
	IRETQ

// machClockGettime is the vDSO's clock_gettime, in the C ABI: DI = clock, SI =
// *timespec. See machine_time.go for the parameters.
TEXT runtime·machClockGettime<ABIInternal>(SB),NOSPLIT|NOFRAME,$0
again:
	MOVQ	runtime·machClock+machClockParams_seq(SB), R8
	TESTL	$1, R8			// another CPU is changing them
	JNE	again
	RDTSC
	SHLQ	$32, DX
	ORQ	DX, AX
	SUBQ	runtime·machClock+machClockParams_rate+const_rateTSC(SB), AX
	MULQ	runtime·machClock+machClockParams_rate+const_rateMult(SB)
	SHRQ	$32, AX
	SHLQ	$32, DX
	ORQ	DX, AX
	ADDQ	runtime·machClock+machClockParams_rate+const_rateNS(SB), AX
	TESTL	DI, DI			// CLOCK_REALTIME
	JEQ	wall
	CMPL	DI, $5			// CLOCK_REALTIME_COARSE
	JNE	mono
wall:
	ADDQ	runtime·machClock+machClockParams_wall(SB), AX
mono:
	CMPQ	R8, runtime·machClock+machClockParams_seq(SB)
	JNE	again
	XORL	DX, DX
	MOVQ	$1000000000, CX
	DIVQ	CX
	MOVQ	AX, 0(SI)
	MOVQ	DX, 8(SI)
	XORL	AX, AX
	RET

// Instructions that Go has no name for. All take and return registers.

// func inb(port uint16) uint8
TEXT runtime·inb<ABIInternal>(SB),NOSPLIT|NOFRAME,$0
	MOVL	AX, DX
	BYTE	$0xec
	MOVBLZX	AL, AX
	RET

// func inl(port uint16) uint32
TEXT runtime·inl<ABIInternal>(SB),NOSPLIT|NOFRAME,$0
	MOVL	AX, DX
	BYTE	$0xed
	RET

// func outb(port uint16, v uint8)
TEXT runtime·outb<ABIInternal>(SB),NOSPLIT|NOFRAME,$0
	MOVL	AX, DX
	MOVL	BX, AX
	BYTE	$0xee
	RET

// func outw(port uint16, v uint16)
TEXT runtime·outw<ABIInternal>(SB),NOSPLIT|NOFRAME,$0
	MOVL	AX, DX
	MOVL	BX, AX
	BYTE	$0x66; BYTE $0xef
	RET

// func outl(port uint16, v uint32)
TEXT runtime·outl<ABIInternal>(SB),NOSPLIT|NOFRAME,$0
	MOVL	AX, DX
	MOVL	BX, AX
	BYTE	$0xef
	RET

// func outsb(port uint16, p uintptr, n uintptr)
TEXT runtime·outsb<ABIInternal>(SB),NOSPLIT|NOFRAME,$0
	MOVL	AX, DX
	MOVQ	BX, SI
	BYTE	$0xf3; BYTE $0x6e	// REP OUTSB
	RET

// func rdmsr(msr uint32) uint64
TEXT runtime·rdmsr<ABIInternal>(SB),NOSPLIT|NOFRAME,$0
	MOVL	AX, CX
	BYTE	$0x0f; BYTE $0x32
	SHLQ	$32, DX
	ORQ	DX, AX
	RET

// func wrmsr(msr uint32, v uint64)
TEXT runtime·wrmsr<ABIInternal>(SB),NOSPLIT|NOFRAME,$0
	MOVL	AX, CX
	MOVQ	BX, DX
	SHRQ	$32, DX
	MOVL	BX, AX
	BYTE	$0x0f; BYTE $0x30
	RET

// func rdtsc() uint64
TEXT runtime·rdtsc<ABIInternal>(SB),NOSPLIT|NOFRAME,$0
	RDTSC
	SHLQ	$32, DX
	ORQ	DX, AX
	RET

// func machCPUID(leaf, sub uint32) (a, b, c, d uint32)
TEXT runtime·machCPUID<ABIInternal>(SB),NOSPLIT|NOFRAME,$0
	MOVL	BX, CX
	CPUID
	MOVL	DX, DI
	RET

// func loadCR3(v uintptr)
TEXT runtime·loadCR3<ABIInternal>(SB),NOSPLIT|NOFRAME,$0
	BYTE	$0x0f; BYTE $0x22; BYTE $0xd8
	RET

// func readCR3() uintptr
TEXT runtime·readCR3<ABIInternal>(SB),NOSPLIT|NOFRAME,$0
	MOVQ	CR3, AX
	RET

// func orCR4(bits uintptr)
TEXT runtime·orCR4<ABIInternal>(SB),NOSPLIT|NOFRAME,$0
	BYTE	$0x0f; BYTE $0x20; BYTE $0xe1	// MOVQ CR4, CX
	ORQ	AX, CX
	BYTE	$0x0f; BYTE $0x22; BYTE $0xe1
	RET

// func xsetbv(v uint64)
TEXT runtime·xsetbv<ABIInternal>(SB),NOSPLIT|NOFRAME,$0
	MOVQ	AX, DX
	SHRQ	$32, DX
	XORL	CX, CX
	BYTE	$0x0f; BYTE $0x01; BYTE $0xd1
	RET

// func fxsave(p uintptr)
TEXT runtime·fxsave<ABIInternal>(SB),NOSPLIT|NOFRAME,$0
	BYTE	$0x48; BYTE $0x0f; BYTE $0xae; BYTE $0x00	// FXSAVE64 (AX)
	RET

// func invlpg(addr uintptr)
TEXT runtime·invlpg<ABIInternal>(SB),NOSPLIT|NOFRAME,$0
	BYTE	$0x0f; BYTE $0x01; BYTE $0x38	// INVLPG (AX)
	RET

// func lgdt(p uintptr)
TEXT runtime·lgdt<ABIInternal>(SB),NOSPLIT|NOFRAME,$0
	BYTE	$0x0f; BYTE $0x01; BYTE $0x10	// LGDT (AX)
	RET

// func lidt(p uintptr)
TEXT runtime·lidt<ABIInternal>(SB),NOSPLIT|NOFRAME,$0
	BYTE	$0x0f; BYTE $0x01; BYTE $0x18	// LIDT (AX)
	RET

// func ltr(sel uintptr)
TEXT runtime·ltr<ABIInternal>(SB),NOSPLIT|NOFRAME,$0
	BYTE	$0x0f; BYTE $0x00; BYTE $0xd8	// LTR AX
	RET

// func machPause()
TEXT runtime·machPause<ABIInternal>(SB),NOSPLIT|NOFRAME,$0
	PAUSE
	RET

// func machHalt()
TEXT runtime·machHalt<ABIInternal>(SB),NOSPLIT|NOFRAME,$0
halt:
	CLI
	HLT
	JMP	halt

// func machRt0() uintptr
// machRt0 returns where a program starts.
TEXT runtime·machRt0<ABIInternal>(SB),NOSPLIT|NOFRAME,$0
	LEAQ	_rt0_amd64(SB), AX
	RET

// func zeroPage(p uintptr)
TEXT runtime·zeroPage<ABIInternal>(SB),NOSPLIT|NOFRAME,$0
	MOVL	$16, CX
	XORPS	X0, X0
zero:
	MOVUPS	X0, 0(AX)
	MOVUPS	X0, 16(AX)
	MOVUPS	X0, 32(AX)
	MOVUPS	X0, 48(AX)
	MOVUPS	X0, 64(AX)
	MOVUPS	X0, 80(AX)
	MOVUPS	X0, 96(AX)
	MOVUPS	X0, 112(AX)
	MOVUPS	X0, 128(AX)
	MOVUPS	X0, 144(AX)
	MOVUPS	X0, 160(AX)
	MOVUPS	X0, 176(AX)
	MOVUPS	X0, 192(AX)
	MOVUPS	X0, 208(AX)
	MOVUPS	X0, 224(AX)
	MOVUPS	X0, 240(AX)
	ADDQ	$256, AX
	DECL	CX
	JNE	zero
	RET

// func rdrand() (v uint64, ok bool)
TEXT runtime·rdrand<ABIInternal>(SB),NOSPLIT|NOFRAME,$0
	BYTE	$0x48; BYTE $0x0f; BYTE $0xc7; BYTE $0xf0	// RDRAND AX
	SETCS	BX
	MOVBLZX	BX, BX
	RET

// func rdseed() (v uint64, ok bool)
TEXT runtime·rdseed<ABIInternal>(SB),NOSPLIT|NOFRAME,$0
	BYTE	$0x48; BYTE $0x0f; BYTE $0xc7; BYTE $0xf8	// RDSEED AX
	SETCS	BX
	MOVBLZX	BX, BX
	RET
