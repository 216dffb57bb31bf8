package core

import (
	"debug/elf"
	"strings"
)

// These are types of notes that debug/elf lacks (<elf.h>).
const (
	noteAuxv = 6
	noteFile = 0x46494c45 // "FILE"
)

// prStatus is struct elf_prstatus. Times are zero.
type prStatus struct {
	SigNo, SigCode, SigErrno int32
	CurSig                   uint16
	_                        [2]byte
	SigPend, SigHold         uint64
	PID, PPID, PGrp, SID     int32
	Times                    [8]uint64
	Regs                     Regs
	FPValid                  int32
	_                        [4]byte
}

// prPsInfo is struct elf_prpsinfo.
type prPsInfo struct {
	State                byte
	StateName            byte
	Zombie, Nice         byte
	_                    [4]byte
	Flags                uint64
	UID, GID             uint32
	PID, PPID, PGrp, SID int32
	Name                 [16]byte
	Args                 [80]byte
}

// notes returns the content of the note segment. The process's notes come after the first thread's,
// as Linux writes them.
func (p *Process) notes() []byte {
	var b []byte
	for i, t := range p.Threads {
		b = note(b, uint32(elf.NT_PRSTATUS), p.status(t))
		if i == 0 {
			b = p.processNotes(b)
		}
	}
	if len(p.Threads) == 0 {
		b = p.processNotes(b)
	}
	return b
}

func (p *Process) processNotes(b []byte) []byte {
	b = note(b, uint32(elf.NT_PRPSINFO), p.info())
	b = note(b, noteAuxv, p.auxv())
	return note(b, noteFile, p.files())
}

func (p *Process) status(t Thread) []byte {
	return add(nil, &prStatus{
		SigNo: int32(t.Signal), CurSig: uint16(t.Signal),
		PID: t.ID, PGrp: p.PID, SID: p.PID, Regs: t.Regs,
	})
}

func (p *Process) info() []byte {
	i := prPsInfo{StateName: 'R', PID: p.PID, PGrp: p.PID, SID: p.PID}
	copy(i.Name[:len(i.Name)-1], p.Name)
	copy(i.Args[:len(i.Args)-1], p.Args)
	return add(nil, &i)
}

func (p *Process) auxv() []byte {
	return add(nil, append(p.Auxv[:len(p.Auxv):len(p.Auxv)], Aux{})) // AT_NULL
}

// files returns the note of Linux's fill_files_note: the count, the unit of offsets, the mappings,
// then their names.
func (p *Process) files() []byte {
	b := add(nil, []uint64{uint64(len(p.Files)), PageSize})
	var names strings.Builder
	for _, m := range p.Files {
		b = add(b, []uint64{m.Start, m.End, m.Offset / PageSize})
		names.WriteString(m.Path + "\x00")
	}
	return append(b, names.String()...)
}

// note appends a note of the owner CORE; name and content are padded to four
// bytes.
func note(b []byte, kind uint32, desc []byte) []byte {
	const name = "CORE\x00"
	b = add(b, []uint32{uint32(len(name)), uint32(len(desc)), kind})
	b = append(b, name+"\x00\x00\x00"...)
	b = append(b, desc...)
	return append(b, make([]byte, -len(desc)&3)...)
}
