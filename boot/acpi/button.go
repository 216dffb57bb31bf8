package acpi

// A press of the power button is reported in one of two ways: by the fixed hardware of
// §4.8.2.2.1.1, which the FADT describes, or, on hardware-reduced machines (§4.1), by the
// generic event device, which the DSDT describes.

// Button returns the button of the fixed hardware, nil if there is none. Only
// I/O ports are supported: x86 has these registers nowhere else.
func (i *Info) Button() *PowerButton {
	t := i.fadt
	if t == nil {
		return nil
	}
	flags := le32(t[fadtFlags:])
	half := uint16(t[fadtPM1EvtLen] / 2) // status registers, then enable registers
	irq := le16(t[fadtSCI:])
	control := extended(t, fadtPM1aCnt, fadtXPM1aCnt)
	if flags&(flagNoPWRBTN|flagHWReduced) != 0 || half < 2 || irq > 255 || !isPort(control) {
		return nil
	}
	b := &PowerButton{IRQ: uint8(irq), Control: uint16(control.Address)}
	for _, w := range []Write{extended(t, fadtPM1aEvt, fadtXPM1aEvt), extended(t, fadtPM1bEvt, fadtXPM1bEvt)} {
		if isPort(w) && w.Address <= 0xffff-uint64(half) {
			b.Status = append(b.Status, uint16(w.Address))
			b.Enable = append(b.Enable, uint16(w.Address)+half)
		}
	}
	if len(b.Status) == 0 {
		return nil
	}
	if port := le32(t[fadtSMICommand:]); port <= 0xffff && t[fadtEnable] != 0 {
		b.SMICommand, b.EnableACPI = uint16(port), t[fadtEnable]
	}
	return b
}

func isPort(w Write) bool {
	return w.Space == SpaceIO && w.Address != 0 && w.Address <= 0xffff
}

// Events returns the generic event device, nil if it does not report a power button. Its _EVT
// method reads a register in memory and notifies a device for each bit that is set (the register
// of QEMU's docs/specs/acpi_hw_reduced_hotplug).
func (i *Info) Events() *EventDevice {
	events := first(i.devices, hidEvents)
	r, irq := resources(events)
	d := &EventDevice{GSI: r.GSI, PowerButton: i.buttonBits(events)}
	if !irq || d.PowerButton == 0 || !d.findRegister(events) || uint64(d.PowerButton)>>d.Width != 0 {
		return nil
	}
	return d
}

// findRegister finds the operation region of the register (§20.2.5.2).
func (d *EventDevice) findRegister(body []byte) bool {
	for i := range body {
		if !at(body, i, "\x5b\x80") {
			continue
		}
		_, rest, ok := nameString(body[i+2:])
		if !ok || len(rest) == 0 || Space(rest[0]) != SpaceMemory {
			continue
		}
		addr, rest, ok := integer64(rest[1:])
		if !ok || addr == 0 {
			continue
		}
		size, _, ok := integer(rest)
		if ok && (size == 1 || size == 2 || size == 4) {
			d.Address, d.Width = addr, int(size)*8
			return true
		}
	}
	return false
}

// buttonBits finds Notify (button, 0x80) (§20.2.5.3), and the constant before it, with which the
// condition compares the register's bits.
func (i *Info) buttonBits(events device) uint32 {
	for at, c := range events {
		if c != amlNotify {
			continue
		}
		name, rest, ok := nameString(events[at+1:])
		if !ok || !i.isButton(name) {
			continue
		}
		if event, _, ok := integer(rest); ok && event == buttonPressed {
			if v := constantBefore(events[:at]); v != 0 {
				return v
			}
		}
	}
	return 0
}

// buttonPressed is the notification of a power button (§5.6.6, table 5.163).
const buttonPressed = 0x80

// isButton reports whether a power button has the name.
func (i *Info) isButton(name string) bool {
	for _, d := range i.devices {
		if d.is(hidButton) || d.is(eisaButton) {
			if has, _, _ := nameString(d); has == name {
				return true
			}
		}
	}
	return false
}

// constantBefore decodes the constant at the end of b, 0 if there is none.
func constantBefore(b []byte) uint32 {
	for _, n := range []int{2, 3, 5, 1} { // a byte, a word, a double word; One
		if len(b) < n {
			continue
		}
		if v, rest, ok := integer(b[len(b)-n:]); ok && len(rest) == 0 {
			return v
		}
	}
	return 0
}
