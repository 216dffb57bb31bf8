// Package bpf checks and runs the classic BPF programs that a program attaches to its sockets
// (SO_ATTACH_FILTER of socket(7); Documentation/networking/filter.rst of Linux). What a program may
// contain is what bpf_check_classic in Linux's net/core/filter.c accepts; what it computes is what
// Linux 6.18 computes, with the loads of a packet's metadata (SKF_AD_OFF) and of its headers
// (SKF_NET_OFF, SKF_LL_OFF).
//
// Why not golang.org/x/net/bpf? Its virtual machine has of these loads only that of the length, and
// refuses programs that Linux accepts. The tests compare with Linux.
//
// Start reading at NewFilter, then New and Program.Run.
package bpf

import (
	"encoding/binary"
	"syscall"
)

// MaxInstructions is BPF_MAXINSNS, the most that a program may have.
const MaxInstructions = 4096

// memoryWords is BPF_MEMWORDS, the number of words of scratch memory.
const memoryWords = 16

// InstructionSize is sizeof(struct sock_filter): 16 bits of code, two jump offsets of a byte each, 32
// bits of constant, in the machine's byte order.
const InstructionSize = 8

// instruction is a struct sock_filter.
type instruction struct {
	code   uint16
	jt, jf uint8
	k      uint32
}

// A Program is a checked program.
type Program struct {
	instructions []instruction
	original     []byte
}

// New checks a program of a number of struct sock_filter: EINVAL if there are none or too many, or if it
// is not one that Linux accepts. It keeps a copy.
func New(filter []byte) (*Program, syscall.Errno) {
	n := len(filter) / InstructionSize
	if n == 0 || n > MaxInstructions || len(filter)%InstructionSize != 0 {
		return nil, syscall.EINVAL
	}
	p := &Program{make([]instruction, n), append([]byte(nil), filter...)}
	for i := range p.instructions {
		b := filter[i*InstructionSize:]
		p.instructions[i] = instruction{
			binary.NativeEndian.Uint16(b), b[2], b[3], binary.NativeEndian.Uint32(b[4:]),
		}
	}
	if !p.valid() {
		return nil, syscall.EINVAL
	}
	return p, 0
}

// Parts of a code, linux/bpf_common.h.
const (
	classLD, classLDX, classST, classSTX, classALU, classJMP, classRET, classMISC = 0, 1, 2, 3, 4, 5, 6, 7

	sizeW, sizeH, sizeB = 0x00, 0x08, 0x10

	modeIMM, modeABS, modeIND, modeMEM, modeLEN, modeMSH = 0x00, 0x20, 0x40, 0x60, 0x80, 0xa0

	aluADD, aluSUB, aluMUL, aluDIV, aluOR, aluAND, aluLSH, aluRSH, aluNEG, aluMOD, aluXOR = 0x00, 0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0x80, 0x90, 0xa0

	jumpA, jumpEQ, jumpGT, jumpGE, jumpSET = 0x00, 0x10, 0x20, 0x30, 0x40

	sourceX = 0x08 // the operand is X, not the constant
	valueA  = 0x10 // of RET: A, not the constant
	copyXA  = 0x80 // of MISC: TXA, not TAX
)

const (
	retK, retA = classRET, classRET | valueA
	storeA     = classST
	storeX     = classSTX
	loadMemA   = classLD | modeMEM
	loadMemX   = classLDX | modeMEM
)

// Offsets of loads that do not address the packet, linux/filter.h.
const (
	offsetMetadata = 0xfffff000 // SKF_AD_OFF, -0x1000
	offsetNetwork  = 0xfff00000 // SKF_NET_OFF, -0x100000
	offsetLink     = 0xffe00000 // SKF_LL_OFF, -0x200000
)

// MetadataEnd is SKF_AD_MAX, the number of bytes after SKF_AD_OFF that have a meaning.
const MetadataEnd = 64

// Metadata, SKF_AD_* of linux/filter.h.
const (
	dataProtocol     = 0
	dataType         = 4
	dataInterface    = 8
	dataAttribute    = 12 // NLATTR
	dataNested       = 16 // NLATTR_NEST
	dataMark         = 20
	dataQueue        = 24
	dataHardware     = 28
	dataHash         = 32
	dataCPU          = 36
	dataXorX         = 40
	dataVLANTag      = 44
	dataVLANPresent  = 48
	dataPayload      = 52
	dataRandom       = 56
	dataVLANProtocol = 60
)
