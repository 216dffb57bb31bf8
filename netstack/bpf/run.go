package bpf

// Run returns what the program makes of a packet: how many bytes of it are wanted, 0 if it is not. A
// load beyond the end of the packet and a division by zero end the program with 0, as on Linux.
func (p *Program) Run(pkt *Packet) uint32 {
	m := machine{pkt: pkt}
	for pc := 0; ; pc++ {
		in := &p.instructions[pc] // the last one is a RET, and jumps only go forward and stay inside: valid
		ok := true
		switch in.code & 7 {
		case classLD:
			ok = m.loadA(in)
		case classLDX:
			ok = m.loadX(in)
		case classST:
			m.memory[in.k] = m.a
		case classSTX:
			m.memory[in.k] = m.x
		case classALU:
			ok = m.compute(in)
		case classJMP:
			pc += m.jump(in)
		case classRET:
			if in.code == retA {
				return m.a
			}
			return in.k
		default:
			if in.code&copyXA != 0 {
				m.a = m.x
			} else {
				m.x = m.a
			}
		}
		if !ok {
			return m.result
		}
	}
}

// machine is the state of a running program.
type machine struct {
	pkt    *Packet
	a, x   uint32
	memory [memoryWords]uint32
	result uint32 // of a program that ends early
}

// loadA executes an instruction of the class LD; false: it ends the program.
func (m *machine) loadA(in *instruction) bool {
	switch in.code & 0xe0 {
	case modeIMM:
		m.a = in.k
		return true
	case modeMEM:
		m.a = m.memory[in.k]
		return true
	case modeLEN:
		m.a = uint32(m.pkt.Len())
		return true
	}
	offset := in.k
	if in.code&0xe0 == modeIND {
		offset += m.x
	} else if in.k >= offsetMetadata {
		v, ok := m.pkt.metadata(in.k-offsetMetadata, m.a, m.x)
		if !ok {
			m.result = m.a
			return false
		}
		m.a = v
		return true
	}
	v, ok := m.pkt.load(offset, loadSize(in.code))
	m.a = v
	return ok
}

func loadSize(code uint16) int {
	switch code & 0x18 {
	case sizeH:
		return 2
	case sizeB:
		return 1
	}
	return 4
}

// loadX executes an instruction of the class LDX.
func (m *machine) loadX(in *instruction) bool {
	switch in.code & 0xe0 {
	case modeIMM:
		m.x = in.k
	case modeMEM:
		m.x = m.memory[in.k]
	case modeLEN:
		m.x = uint32(m.pkt.Len())
	default: // MSH, the length of an IPv4 header
		v, ok := m.pkt.load(in.k, 1)
		m.x = v & 15 * 4
		return ok
	}
	return true
}

// compute executes an instruction of the class ALU. A shift by X uses the last five bits of it.
func (m *machine) compute(in *instruction) bool {
	v := in.k
	if in.code&sourceX != 0 {
		v = m.x
	}
	switch in.code & 0xf0 {
	case aluADD:
		m.a += v
	case aluSUB:
		m.a -= v
	case aluMUL:
		m.a *= v
	case aluDIV, aluMOD:
		if v == 0 {
			return false
		}
		if in.code&0xf0 == aluDIV {
			m.a /= v
		} else {
			m.a %= v
		}
	case aluOR:
		m.a |= v
	case aluAND:
		m.a &= v
	case aluLSH:
		m.a <<= v & 31
	case aluRSH:
		m.a >>= v & 31
	case aluNEG:
		m.a = -m.a
	case aluXOR:
		m.a ^= v
	}
	return true
}

// jump returns how many instructions are left out.
func (m *machine) jump(in *instruction) int {
	v := in.k
	if in.code&sourceX != 0 {
		v = m.x
	}
	taken := false
	switch in.code & 0xf0 {
	case jumpA:
		return int(in.k)
	case jumpEQ:
		taken = m.a == v
	case jumpGT:
		taken = m.a > v
	case jumpGE:
		taken = m.a >= v
	case jumpSET:
		taken = m.a&v != 0
	}
	if taken {
		return int(in.jt)
	}
	return int(in.jf)
}
