package i8042

// Scan codes, set 1 (after the controller's translation) and set 2 (as keyboards
// send them). In both, prefixExtended begins the codes of the keys on the right
// and of the Delete key that is not on the number pad.
const (
	prefixExtended = 0xe0
	prefixRelease  = 0xf0 // set 2
	release        = 0x80 // set 1
)

// codes are the three keys' codes in one set.
type codes struct{ ctrl, alt, del uint8 }

var (
	set1 = codes{ctrl: 0x1d, alt: 0x38, del: 0x53}
	set2 = codes{ctrl: 0x14, alt: 0x11, del: 0x71}
)

// Keys follows which keys are down.
type Keys struct {
	Translated bool // the codes are those of set 1

	ctrl, alt uint8 // how they are held, by key: bit 0 left, bit 1 right
	extended  bool  // the last byte was prefixExtended
	up        bool  // the last byte was prefixRelease
}

// Take takes one byte of the keyboard and reports whether it completes
// Ctrl-Alt-Delete.
func (k *Keys) Take(b uint8) bool {
	set := &set2
	switch {
	case b == prefixExtended:
		k.extended = true
		return false
	case k.Translated:
		set = &set1
		k.up = b&release != 0
		b &^= release
	case b == prefixRelease:
		k.up = true
		return false
	}
	side := uint8(1)
	if k.extended {
		side = 2
	}
	up := k.up
	k.extended, k.up = false, false
	switch b {
	case set.ctrl:
		k.ctrl = hold(k.ctrl, side, up)
	case set.alt:
		k.alt = hold(k.alt, side, up)
	case set.del:
		return !up && k.ctrl != 0 && k.alt != 0
	}
	return false
}

func hold(held, side uint8, up bool) uint8 {
	if up {
		return held &^ side
	}
	return held | side
}
