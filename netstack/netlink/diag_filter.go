package netlink

import (
	"encoding/binary"
	"net/netip"
	"syscall"
)

// This file runs the filters of requests for TCP and UDP sockets (INET_DIAG_REQ_BYTECODE of
// linux/inet_diag.h), as inet_diag_bc_audit and inet_diag_bc_run in Linux's net/ipv4/inet_diag.c do. An
// operation has a code, and how far to go on where it is true and where not; some have an operand
// behind them. Going to the end is a match, going beyond is none.

const requestFilter = 1 // INET_DIAG_REQ_BYTECODE

// Codes of operations.
const (
	filterNop = iota
	filterJump
	filterFromGreaterEqual
	filterFromLessEqual
	filterToGreaterEqual
	filterToLessEqual
	filterAutomatic
	filterFrom
	filterTo
	filterDevice
	filterMark
	filterFromEqual
	filterToEqual
)

const (
	operationSize = 4 // struct inet_diag_bc_op: code, yes, 16 bits no
	hostSize      = 8 // struct inet_diag_hostcond: family, prefix length, 2 bytes, port; an address follows
	anyPort       = ^uint32(0)
)

// operation is the first one of a program.
func operation(code []byte) (op, yes uint8, no uint16) {
	return code[0], code[1], binary.NativeEndian.Uint16(code[2:])
}

// validFilter tells whether a program's operations are known and whole and lead on to others, or to its end.
func validFilter(program []byte) bool {
	code := program
	for len(code) > 0 {
		if len(code) < operationSize {
			return false
		}
		op, yes, no := operation(code)
		size, ok := operationLength(code, op)
		if !ok || int(yes) < size || int(yes) > len(code)+operationSize || yes&3 != 0 {
			return false
		}
		if op != filterNop {
			if int(no) < size || int(no) > len(code)+operationSize || no&3 != 0 {
				return false
			}
			if int(no) < len(code) && !startsAt(program, len(code)-int(no)) {
				return false
			}
		}
		if int(yes) > len(code) {
			return false
		}
		code = code[yes:]
	}
	return true
}

// operationLength returns the bytes of an operation with its operand, and whether they are there.
func operationLength(code []byte, op uint8) (int, bool) {
	size := operationSize
	switch op {
	case filterNop, filterJump, filterAutomatic:
	case filterFromGreaterEqual, filterFromLessEqual, filterToGreaterEqual, filterToLessEqual, filterFromEqual, filterToEqual, filterDevice:
		size += 4
	case filterMark:
		size += 8
	case filterFrom, filterTo:
		size += hostSize
		if len(code) < size {
			return 0, false
		}
		address, ok := map[uint8]int{syscall.AF_UNSPEC: 0, syscall.AF_INET: 4, syscall.AF_INET6: 16}[code[operationSize]]
		if !ok || int(code[operationSize+1]) > 8*address {
			return 0, false
		}
		size += address
	default:
		return 0, false
	}
	return size, len(code) >= size
}

// startsAt tells whether an operation begins where left bytes of the program are left.
func startsAt(program []byte, left int) bool {
	for code := program; len(code) >= operationSize && len(code) > left; {
		_, yes, _ := operation(code)
		if yes < operationSize || yes&3 != 0 || int(yes) > len(code) {
			return false
		}
		if code = code[yes:]; len(code) == left {
			return true
		}
	}
	return false
}

// passes runs a valid program on a socket of a family.
func passes(code []byte, family uint8, s *InternetSocket) bool {
	for len(code) > 0 {
		op, yes, no := operation(code)
		step := int(yes)
		if !holds(code, op, family, s) {
			step = int(no)
		}
		if step > len(code) {
			return false
		}
		code = code[step:]
	}
	return true
}

// holds tells whether an operation is true.
func holds(code []byte, op, family uint8, s *InternetSocket) bool {
	operand := func(at int) uint32 { return binary.NativeEndian.Uint32(code[operationSize+at:]) }
	port := func() uint16 { return binary.NativeEndian.Uint16(code[operationSize+2:]) } // of a second operation
	switch op {
	case filterJump:
		return false
	case filterFromGreaterEqual:
		return s.Local.Port() >= port()
	case filterFromLessEqual:
		return s.Local.Port() <= port()
	case filterFromEqual:
		return s.Local.Port() == port()
	case filterToGreaterEqual:
		return s.Remote.Port() >= port()
	case filterToLessEqual:
		return s.Remote.Port() <= port()
	case filterToEqual:
		return s.Remote.Port() == port()
	case filterAutomatic:
		return !s.Bound
	case filterDevice:
		return uint32(s.Interface) == operand(0)
	case filterMark:
		return s.number(syscall.SOL_SOCKET, syscall.SO_MARK)&operand(4) == operand(0)
	case filterFrom:
		return hostMatches(code[operationSize:], family, s.Local)
	case filterTo:
		return hostMatches(code[operationSize:], family, s.Remote)
	}
	return true
}

// hostMatches tells whether an address is that of a struct inet_diag_hostcond. A condition of IPv4 is
// true of a mapped address, too.
func hostMatches(condition []byte, family uint8, a netip.AddrPort) bool {
	wanted, bits := condition[0], int(condition[1])
	if port := binary.NativeEndian.Uint32(condition[4:]); port != anyPort && port != uint32(a.Port()) {
		return false
	}
	addr := a.Addr()
	if wanted != syscall.AF_UNSPEC && wanted != family {
		if wanted != syscall.AF_INET || !addr.Is4In6() {
			return false
		}
		addr = addr.Unmap()
	}
	if bits == 0 {
		return true
	}
	want, ok := netip.AddrFromSlice(condition[hostSize:][:addr.BitLen()/8])
	return ok && netip.PrefixFrom(want, bits).Contains(addr)
}
