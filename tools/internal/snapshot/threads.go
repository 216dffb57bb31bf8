package snapshot

import (
	"encoding/binary"
	"slices"

	"github.com/yolk-unikernel/yolk/tools/internal/core"
)

// maxThreads bounds the guest's list.
const maxThreads = 1 << 16

// threads returns the program's threads: the one that crashed, then those that run, then the
// others; each group by age.
func (im *Image) threads(m *Machine, mach view) []core.Thread {
	live := im.running(m, mach)
	crashed, signal := mach.field("sig").field("crashed").uint(), mach.field("sig").field("fatal").uint()
	var list []core.Thread
	rank := map[int32]int{}
	t := mach.field("sched").field("threads").deref()
	seen := map[uint64]bool{0: true}
	for !seen[t.addr] && len(seen) < maxThreads && t.r.err == nil {
		seen[t.addr] = true
		id := int32(t.field("id").uint())
		if id != 0 && t.field("state").uint() != im.dead { // 0 is an idle CPU
			th := core.Thread{ID: id, Regs: savedRegs(t)}
			rank[id] = 2
			if regs, ok := live[t.addr]; ok {
				rank[id], th.Regs = 1, regs
			}
			if t.addr == crashed {
				rank[id], th.Signal = 0, uint32(signal)
			}
			list = append(list, th)
		}
		t = t.field("all").deref()
	}
	slices.SortFunc(list, func(a, b core.Thread) int {
		if d := rank[a.ID] - rank[b.ID]; d != 0 {
			return d
		}
		return int(a.ID) - int(b.ID)
	})
	return list
}

// savedRegs is the register state that the machine half has saved for a thread.
func savedRegs(t view) core.Regs {
	get := func(name string) uint64 { return t.field(name).uint() }
	return program(core.Regs{
		RAX: get("ax"), RBX: get("bx"), RCX: get("cx"), RDX: get("dx"),
		RSI: get("si"), RDI: get("di"), RBP: get("bp"), RSP: get("sp"),
		R8: get("r8"), R9: get("r9"), R10: get("r10"), R11: get("r11"),
		R12: get("r12"), R13: get("r13"), R14: get("r14"), R15: get("r15"),
		RIP: get("ip"), RFLAGS: get("flags"), FSBase: get("fsbase"),
	})
}

// program completes registers to those of a Linux program as a debugger expects them: the
// selectors are those of user code, and no system call is to be restarted.
func program(r core.Regs) core.Regs {
	r.CS, r.SS, r.OrigRAX = 0x33, 0x2b, ^uint64(0)
	return r
}

// running returns the registers of the threads that run on CPUs, by the threads' addresses.
func (im *Image) running(m *Machine, mach view) map[uint64]core.Regs {
	live := map[uint64]core.Regs{}
	cpu := mach.field("smp").field("cpu").at(0).deref() // for its type
	for i := range m.CPUs {
		c := &m.CPUs[i]
		if c.GS.Base < lowerEnd { // not started: see machAPEntry
			continue
		}
		cpu.addr = c.GS.Base
		if regs, ok := im.liveRegs(c, cpu); ok {
			live[cpu.field("cur").uint()] = regs
		}
	}
	return live
}

// liveRegs returns the registers of the thread that runs on a CPU; false if the machine half has
// saved them. At the first instructions of an entry they are not saved yet, but partly moved,
// and AX, CX, DX, DI and R14 may be lost (machine_entry_amd64.s).
func (im *Image) liveRegs(c *CPU, cpu view) (core.Regs, bool) {
	if cpu.field("inside").uint() != 0 || im.resume.has(c.RIP) {
		return core.Regs{}, false
	}
	r := program(core.Regs{
		RAX: c.RAX, RBX: c.RBX, RCX: c.RCX, RDX: c.RDX, RSI: c.RSI, RDI: c.RDI, RBP: c.RBP, RSP: c.RSP,
		R8: c.R8, R9: c.R9, R10: c.R10, R11: c.R11, R12: c.R12, R13: c.R13, R14: c.R14, R15: c.R15,
		RIP: c.RIP, RFLAGS: c.RFLAGS, FSBase: c.FS.Base,
	})
	switch {
	case im.syscall.has(c.RIP): // SYSCALL has moved these two
		r.RIP, r.RFLAGS = c.RCX, c.R11
	case im.vectors.has(c.RIP) || im.trap.has(c.RIP):
		// The exception's frame is on top of the stack, which ends at a page:
		// RIP, CS, RFLAGS, RSP, SS.
		var b [40]byte
		top := (c.RSP + core.PageSize - 1) &^ (core.PageSize - 1)
		if err := cpu.r.space.read(b[:], top-40); err != nil {
			cpu.r.fail("%w", err)
			break
		}
		word := func(i int) uint64 { return binary.LittleEndian.Uint64(b[8*i:]) }
		r.RIP, r.RFLAGS, r.RSP = word(0), word(2), word(3)
	}
	return r, true
}
