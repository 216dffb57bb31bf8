package bpf

// valid is bpf_check_classic in Linux's net/core/filter.c.
func (p *Program) valid() bool {
	n := len(p.instructions)
	for i, in := range p.instructions {
		if !known(in.code) || !in.inBounds(n-i-1) {
			return false
		}
	}
	switch p.instructions[n-1].code {
	case retK, retA:
		return p.storesBeforeLoads()
	}
	return false
}

// inBounds checks the constants of an instruction that has a number of others after it.
func (in instruction) inBounds(after int) bool {
	switch in.code {
	case classALU | aluDIV, classALU | aluMOD:
		return in.k != 0
	case classALU | aluLSH, classALU | aluRSH:
		return in.k < 32
	case loadMemA, loadMemX, storeA, storeX:
		return in.k < memoryWords
	case classJMP | jumpA:
		return uint64(in.k) < uint64(after)
	case classLD | sizeW | modeABS, classLD | sizeH | modeABS, classLD | sizeB | modeABS:
		return in.k < offsetMetadata || isMetadata(in.k-offsetMetadata)
	}
	if in.code&7 == classJMP {
		return int(in.jt) < after && int(in.jf) < after
	}
	return true
}

// isMetadata reports whether an offset after SKF_AD_OFF has a meaning: bpf_anc_helper in Linux's
// linux/filter.h.
func isMetadata(at uint32) bool { return at < MetadataEnd && at%4 == 0 }

// known reports whether a code is one of the list in chk_code_allowed of Linux's net/core/filter.c.
func known(code uint16) bool {
	class, rest := code&7, code&^7
	switch class {
	case classLD:
		switch rest {
		case sizeW | modeABS, sizeH | modeABS, sizeB | modeABS, sizeW | modeIND, sizeH | modeIND, sizeB | modeIND,
			modeIMM, modeMEM, modeLEN:
			return true
		}
	case classLDX:
		return rest == modeIMM || rest == modeMEM || rest == modeLEN || rest == modeMSH|sizeB
	case classST, classSTX:
		return rest == 0
	case classALU:
		return rest <= aluXOR|sourceX && rest != aluNEG|sourceX
	case classJMP:
		return rest == jumpA || rest >= jumpEQ && rest <= jumpSET|sourceX
	case classRET:
		return rest == 0 || rest == valueA
	case classMISC:
		return rest == 0 || rest == copyXA
	}
	return false
}

// storesBeforeLoads reports whether no word of the scratch memory is read on a way on which it was not
// written: check_load_and_stores in Linux's net/core/filter.c. Jumps only go forward, so one pass is
// enough. A set of words has a bit for each.
func (p *Program) storesBeforeLoads() bool {
	reaching := make([]uint16, len(p.instructions)) // words written on all jumps to here
	for i := range reaching {
		reaching[i] = 0xffff
	}
	written := uint16(0)
	for i, in := range p.instructions {
		written &= reaching[i]
		jump := func(offset uint32) { reaching[i+1+int(offset)] &= written }
		switch in.code {
		case storeA, storeX:
			written |= 1 << in.k
		case loadMemA, loadMemX:
			if written&(1<<in.k) == 0 {
				return false
			}
		case classJMP | jumpA:
			jump(in.k)
			written = 0xffff
		default:
			if in.code&7 == classJMP {
				jump(uint32(in.jt))
				jump(uint32(in.jf))
				written = 0xffff
			}
		}
	}
	return true
}
