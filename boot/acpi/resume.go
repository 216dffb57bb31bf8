package acpi

import "github.com/yolk-unikernel/yolk/boot"

// A VMM that lets a machine go on from a saved state says so by memory that it changes: VMGenID
// (Microsoft, "Virtual Machine Generation ID"; 16 random bytes) and VMClock (Linux:
// include/uapi/linux/vmclock-abi.h). A device in the DSDT or in an SSDT has the address of each.

// Event is a general-purpose event (§4.8.4.1): the same bit of two registers of 8 bits. A 1 in
// Status says that the event has come, and is cleared by writing 1; a 1 in Enable lets it
// interrupt as the power button does.
type Event struct {
	Status, Enable uint16 // I/O ports
	Mask           uint8
}

// Region is a range of physical memory.
type Region struct{ Address, Size uint64 }

// gpeBlock is the general-purpose event block 0 of the fixed hardware: status registers, then as
// many enable registers.
type gpeBlock struct {
	port uint16
	half int
}

// gpe reads the block from the FADT.
func gpe(t []byte) gpeBlock {
	w := extended(t, fadtGPE0, fadtXGPE0)
	half := int(t[fadtGPE0Len] / 2)
	if isPort(w) && half > 0 && w.Address+uint64(2*half) <= 1<<16 {
		return gpeBlock{uint16(w.Address), half}
	}
	return gpeBlock{}
}

// event returns the event with a number.
func (b gpeBlock) event(n int) *Event {
	if n < 0 || n/8 >= b.half {
		return nil
	}
	status := b.port + uint16(n/8)
	return &Event{Status: status, Enable: status + uint16(b.half), Mask: 1 << (n % 8)}
}

// Resume is what changes when the machine goes on from a saved state.
type Resume struct {
	// Generation is where VMGenID has its 16 bytes, 0 if there is none; Event comes when they
	// have changed, nil if it is not known which event that is.
	Generation uint64
	Event      *Event
	// Clock is where VMClock has its structure, nil if there is none.
	Clock *Region
}

// Resume finds the first VMGenID and VMClock in the DSDT and the secondary tables (§5.2.11.2), which have the same
// AML. ErrTable means that one of these could not be read.
func (i *Info) Resume() (r Resume, err error) {
	r.add(i.aml, i.devices, i.fadt)
	for _, addr := range i.ssdts {
		t := boot.Table(addr, i.mem)
		if t == nil {
			err = ErrTable
			continue
		}
		r.add(t[headerSize:], findDevices(t[headerSize:]), i.fadt)
	}
	return r, err
}

// add adds what a table has.
func (r *Resume) add(aml []byte, devices []device, fadt []byte) {
	if g := first(devices, cidGeneration); g != nil && r.Generation == 0 {
		if r.Generation = generationAddress(aml, g); r.Generation != 0 && fadt != nil {
			name, _, _ := nameString(g)
			r.Event = gpe(fadt).event(notifier(aml, name))
		}
	}
	if c := first(devices, cidClock); c != nil && r.Clock == nil {
		if d, _ := resources(c); d.Address != 0 && d.Size != 0 && d.Address+d.Size > d.Address {
			r.Clock = &Region{d.Address, d.Size}
		}
	}
}

// generationAddress returns the address that the object ADDR of a VMGenID device has, 0 if it is
// none that 16 bytes can have. It is a package of two numbers, the low half first
// (Firecracker), or a method that adds a constant to a number which the firmware has set, and
// stores the sum as the low half (QEMU, docs/specs/vmgenid).
func generationAddress(aml, device []byte) uint64 {
	var addr uint64
	for i, c := range device {
		switch {
		case c == amlName && at(device, i, "\x08ADDR\x12"):
			addr = addressPackage(device[i+6:])
		case c == amlMethod && methodName(device[i:]) == "ADDR":
			addr = addressSum(aml, device[i:])
		default:
			continue
		}
		break
	}
	if addr%8 != 0 || addr+16 < addr {
		return 0
	}
	return addr
}

// addressPackage decodes a package of two numbers, given what follows its opcode.
func addressPackage(b []byte) uint64 {
	p, ok := pkg(b)
	if !ok || len(p) == 0 || p[0] != 2 {
		return 0
	}
	low, rest, ok1 := integer(p[1:])
	high, _, ok2 := integer(rest)
	if !ok1 || !ok2 {
		return 0
	}
	return uint64(high)<<32 | uint64(low)
}

// addressSum finds Add (NAME, constant) in a method, and Name (NAME, number) in the table.
func addressSum(aml, method []byte) uint64 {
	body, ok := pkg(method[1:])
	if !ok {
		return 0
	}
	for i, c := range body {
		if c != amlAdd || len(body)-i < 6 {
			continue
		}
		name := string(body[i+1 : i+5])
		offset, _, ok := integer(body[i+5:])
		if !ok {
			continue
		}
		for k, c := range aml {
			if c != amlName || !at(aml, k+1, name) {
				continue
			}
			if base, _, ok := integer64(aml[k+5:]); ok && base != 0 {
				return base + uint64(offset)
			}
		}
		return 0
	}
	return 0
}

// methodName returns the name of the method that b begins with, "" if there is none.
func methodName(b []byte) string {
	if len(b) == 0 || b[0] != amlMethod {
		return ""
	}
	body, ok := pkg(b[1:])
	if !ok {
		return ""
	}
	name, _, _ := nameString(body)
	return name
}

// notifier returns the number of the event whose method, \_GPE._Exx or _Lxx (§5.6.4.1), notifies
// a device; -1 if there is none.
func notifier(aml []byte, device string) int {
	for i, c := range aml {
		if c != amlMethod {
			continue
		}
		body, ok := pkg(aml[i+1:])
		if !ok {
			continue
		}
		name, code, ok := nameString(body)
		if !ok || len(code) < 2 || code[1] != amlNotify || name[0] != '_' || name[1] != 'E' && name[1] != 'L' {
			continue
		}
		if target, _, ok := nameString(code[2:]); ok && target == device {
			return hex(name[2:])
		}
	}
	return -1
}

// hex decodes two digits; -1 if they are none.
func hex(s string) (n int) {
	for _, c := range []byte(s) {
		switch {
		case c >= '0' && c <= '9':
			n = n<<4 | int(c-'0')
		case c >= 'A' && c <= 'F':
			n = n<<4 | int(c-'A'+10)
		default:
			return -1
		}
	}
	return n
}
