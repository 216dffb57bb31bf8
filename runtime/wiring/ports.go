package wiring

// OutByte writes to an I/O port.
func OutByte(port uint16, v uint8) { outByte(port, v) }

// InByte reads from an I/O port.
func InByte(port uint16) uint8 { return inByte(port) }

// OutLongAlone writes to an I/O port while no other CPU can touch a register of a
// device in memory: for writes that move such registers. QEMU 7.2 does not move them
// for all CPUs that it emulates at once: another CPU's access to any device may then
// reach the wrong one.
func OutLongAlone(port uint16, v uint32) { outAlone(port, v) }
