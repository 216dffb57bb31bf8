package boot

// This file finds tables of ACPI (Advanced Configuration and Power Interface Specification 6.5,
// §5.2): root pointer, root table, table, and the entries of the MADT. Package acpi uses it,
// too, once there is a heap.

// headerSize is the size of a table's header (§5.2.6). maxTable bounds the size of a table; the
// largest, a big server's DSDT, has about 100 KiB.
const (
	headerSize = 36
	maxTable   = 1 << 20
)

// RootPointer returns the addresses in the root pointer at rsdp (§5.2.5.3): of the RSDT, and of
// the XSDT or 0. ok is false if there is no root pointer.
func RootPointer(rsdp uint64, mem Memory) (rsdt, xsdt uint64, ok bool) {
	const size1, size2 = 20, 36 // of ACPI 1.0 and since ACPI 2.0, each with a checksum
	b := mem(rsdp, size1)
	if rsdp == 0 || b == nil {
		return 0, 0, false
	}
	p := (*[size1]byte)(b)
	if string(p[:8]) != "RSD PTR " || checksum(b) != 0 {
		return 0, 0, false
	}
	if p[15] >= 2 {
		if x := mem(rsdp, size2); x != nil && checksum(x) == 0 {
			xsdt = le64((*[size2]byte)(x)[24:])
		}
	}
	return uint64(le32(p[16:])), xsdt, true
}

// Tables are the addresses of the machine's tables.
type Tables struct {
	list  []byte
	width int // size of an address
}

// FindTables reads the XSDT, or else the RSDT (§5.2.7, §5.2.8). ok is false if neither can be
// read.
func FindTables(rsdt, xsdt uint64, mem Memory) (t Tables, ok bool) {
	if x := Table(xsdt, mem); x != nil && string(x[:4]) == "XSDT" {
		return Tables{x[headerSize:], 8}, true
	}
	if r := Table(rsdt, mem); r != nil && string(r[:4]) == "RSDT" {
		return Tables{r[headerSize:], 4}, true
	}
	return Tables{}, false
}

// Cut returns the first address and the rest; ok is false if there is none.
func (t Tables) Cut() (at uint64, rest Tables, ok bool) {
	switch {
	case t.width == 0 || len(t.list) < t.width:
		return 0, t, false
	case t.width == 8:
		at = le64(t.list)
	default:
		at = uint64(le32(t.list))
	}
	return at, Tables{t.list[t.width:], t.width}, true
}

// Table returns the table at an address, including its header; nil if its length or checksum is
// wrong.
func Table(at uint64, mem Memory) []byte {
	h := mem(at, headerSize)
	if at == 0 || h == nil {
		return nil
	}
	n := le32((*[headerSize]byte)(h)[4:])
	if n < headerSize || n > maxTable {
		return nil
	}
	t := mem(at, int(n))
	if t == nil || checksum(t) != 0 {
		return nil
	}
	return t
}

// Signature returns the four letters that name the table at an address; zeroes if there is no
// memory. It does not check the table's checksum, as Table does.
func Signature(at uint64, mem Memory) (sig [4]byte) {
	if h := mem(at, headerSize); at != 0 && h != nil {
		sig = [4]byte(h)
	}
	return sig
}

// MADT returns the entries of the multiple APIC description table (§5.2.12), nil if it is too
// short.
func MADT(table []byte) []byte {
	const flagsEnd = headerSize + 8
	if len(table) < flagsEnd {
		return nil
	}
	return table[flagsEnd:]
}

// CutEntry returns the first entry of a MADT, whose type is its first byte, and the rest. ok is
// false if there is no entry, or one of a bad length.
func CutEntry(entries []byte) (e, rest []byte, ok bool) {
	if len(entries) < 2 || entries[1] < 2 || int(entries[1]) > len(entries) {
		return nil, entries, false
	}
	n := int(entries[1])
	return entries[:n:n], entries[n:], true
}

func checksum(b []byte) (sum byte) {
	for _, v := range b {
		sum += v
	}
	return sum
}
