package acpi

// These are the encodings of AML that are searched for (§20.2).
const (
	amlZero   = 0x00
	amlOne    = 0x01
	amlName   = 0x08
	amlByte   = 0x0a
	amlWord   = 0x0b
	amlDWord  = 0x0c
	amlQWord  = 0x0e
	amlMethod = 0x14
	amlAdd    = 0x72
	amlNotify = 0x86
	amlOnes   = 0xff
	amlDevice = "\x5b\x82"
)

// at reports whether b has s at offset i.
func at(b []byte, i int, s string) bool {
	return len(b)-i >= len(s) && string(b[i:i+len(s)]) == s
}

// pkg decodes a PkgLength at the start of b (§20.2.4) and returns the bytes that it covers;
// false if b is shorter.
func pkg(b []byte) ([]byte, bool) {
	if len(b) == 0 {
		return nil, false
	}
	more := int(b[0] >> 6)
	if len(b) <= more {
		return nil, false
	}
	n := int(b[0] & 0x3f)
	if more > 0 {
		n &= 0xf
		for i := range more {
			n |= int(b[1+i]) << (4 + 8*i)
		}
	}
	if n < 1+more || n > len(b) {
		return nil, false
	}
	return b[1+more : n], true
}

// integer decodes a constant at the start of b and returns the bytes after it.
func integer(b []byte) (v uint32, rest []byte, ok bool) {
	if len(b) == 0 {
		return 0, nil, false
	}
	size := 0
	switch b[0] {
	case amlZero, amlOne:
		return uint32(b[0]), b[1:], true
	case amlOnes:
		return 0xffffffff, b[1:], true
	case amlByte:
		size = 1
	case amlWord:
		size = 2
	case amlDWord:
		size = 4
	default:
		return 0, nil, false
	}
	if b = b[1:]; len(b) < size {
		return 0, nil, false
	}
	for i := range size {
		v |= uint32(b[i]) << (8 * i)
	}
	return v, b[size:], true
}

// integer64 is integer for addresses, which may have 64 bits.
func integer64(b []byte) (v uint64, rest []byte, ok bool) {
	if len(b) >= 9 && b[0] == amlQWord {
		return le64(b[1:]), b[9:], true
	}
	n, rest, ok := integer(b)
	return uint64(n), rest, ok
}

// findS5 finds Name (\_S5_, Package {a, b, …}) and returns the values of SLP_TYP for the
// registers PM1a and PM1b (§7.4.2).
func findS5(aml []byte) (a, b uint8, ok bool) {
	for i, c := range aml {
		if c != amlName { // most bytes are not: this keeps the boot short
			continue
		}
		body := 0
		switch {
		case at(aml, i, "\x08_S5_\x12"):
			body = i + 6
		case at(aml, i, "\x08\\_S5_\x12"):
			body = i + 7
		default:
			continue
		}
		p, ok := pkg(aml[body:])
		if !ok || len(p) < 2 || p[0] < 1 {
			continue
		}
		va, rest, ok := integer(p[1:])
		if !ok {
			continue
		}
		vb, _, ok := integer(rest)
		if !ok {
			vb = va
		}
		return uint8(va & 7), uint8(vb & 7), true
	}
	return 0, 0, false
}

// These bound the search in a table: microvm has 24 virtio devices, q35 some 400 in all.
const (
	maxDevices = 4096
	maxVirtio  = 256
)

// device is the body of a device in AML: its name, then its objects.
type device []byte

// Objects by which devices are told.
const (
	hidVirtio     = "\x08_HID\x0dLNRO0005\x00" // the virtio-mmio devices of VMMs
	hidEvents     = "\x08_HID\x0dACPI0013\x00" // the generic event device
	hidButton     = "\x08_HID\x0dPNP0C0C\x00"  // the power button
	eisaButton    = "\x08_HID\x0c\x41\xd0\x0c\x0c"
	cidGeneration = "\x08_CID\x0dVM_Gen_Counter\x00"
	cidClock      = "\x08_CID\x0dVMCLOCK\x00"
)

// findDevices finds the devices of a table.
func findDevices(aml []byte) (found []device) {
	for i, c := range aml {
		if c != amlDevice[0] || !at(aml, i, amlDevice) {
			continue
		}
		body, ok := pkg(aml[i+2:])
		if !ok {
			continue
		}
		// Objects of a device inside this one do not belong to this one.
		for j, c := range body {
			if c == amlDevice[0] && at(body, j, amlDevice) {
				body = body[:j]
				break
			}
		}
		if found = append(found, body); len(found) == maxDevices {
			break
		}
	}
	return found
}

// is reports whether a device has an object.
func (d device) is(object string) bool {
	for i, c := range d {
		if c == amlName && at(d, i, object) {
			return true
		}
	}
	return false
}

// first returns the first device that has an object, nil if none has it.
func first(list []device, object string) device {
	for _, d := range list {
		if d.is(object) {
			return d
		}
	}
	return nil
}

// nameString decodes a name at the start of b (§20.2.2) and returns its last segment and the
// bytes after it.
func nameString(b []byte) (last string, rest []byte, ok bool) {
	for len(b) > 0 && (b[0] == '\\' || b[0] == '^') {
		b = b[1:]
	}
	segments := 1
	switch {
	case len(b) >= 1 && b[0] == 0x2e:
		segments, b = 2, b[1:]
	case len(b) >= 2 && b[0] == 0x2f:
		segments, b = int(b[1]), b[2:]
	}
	if segments == 0 || len(b) < 4*segments {
		return "", nil, false
	}
	return string(b[4*segments-4 : 4*segments]), b[4*segments:], true
}

// These are resource data types (§6.4).
const (
	resIRQ         = 0x04 // small
	resEnd         = 0x0f // small
	resMemory32    = 0x86
	resExtendedIRQ = 0x89
	resQWordRange  = 0x8a
)

// resources reads the resource template in a device's _CRS: one range of memory and one
// interrupt. irq reports whether there is an interrupt.
func resources(body device) (d VirtioMMIO, irq bool) {
	for b := currentResources(body); len(b) > 0; {
		tag, n, head := int(b[0]>>3&0xf), int(b[0]&7), 1
		if b[0]&0x80 != 0 {
			if len(b) < 3 {
				break
			}
			tag, n, head = int(b[0]), int(le16(b[1:])), 3
		}
		if n > len(b)-head || tag == resEnd {
			break
		}
		r := b[head : head+n]
		b = b[head+n:]
		switch {
		case tag == resMemory32 && n >= 9: // §6.4.3.4
			d.Address, d.Size = uint64(le32(r[1:])), uint64(le32(r[5:]))
		case tag == resQWordRange && n >= 43 && r[0] == 0: // §6.4.3.5.1, memory
			d.Address, d.Size = le64(r[11:]), le64(r[35:])
		case tag == resExtendedIRQ && n >= 6 && r[1] > 0: // §6.4.3.6
			d.Level, d.ActiveLow = r[0]&2 == 0, r[0]&4 != 0
			d.GSI, irq = le32(r[2:]), true
		case tag == resIRQ && n >= 2 && le16(r) != 0: // §6.4.2.1
			d.GSI, irq = lowestBit(le16(r)), true
			if n >= 3 {
				d.Level, d.ActiveLow = r[2]&1 == 0, r[2]&8 != 0
			}
		}
	}
	return d, irq
}

// currentResources returns the bytes of a device's _CRS, nil if it has none.
func currentResources(body []byte) []byte {
	for i := range body {
		if at(body, i, "\x08_CRS\x11") {
			if buf, ok := pkg(body[i+6:]); ok {
				_, crs, _ := integer(buf) // the buffer's size, then its bytes
				return crs
			}
		}
	}
	return nil
}

// valid reports whether the registers of virtio-mmio fit in the range.
func (d VirtioMMIO) valid() bool {
	return d.Address != 0 && d.Size >= 0x100 && d.Address+d.Size > d.Address
}

func lowestBit(mask uint16) (n uint32) {
	for ; mask&1 == 0; mask >>= 1 {
		n++
	}
	return n
}
