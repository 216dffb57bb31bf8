//go:build tamago

package yolk

type ioapicEntry struct {
	address uint64
	gsiBase uint32
}

func ioapicList() []ioapicEntry { return []ioapicEntry{{0xfec00000, 0}} }

type mmioEntry struct {
	address uint64
	gsi     uint32
}

func acpiVirtio() []mmioEntry { return nil }
