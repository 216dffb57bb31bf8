//go:build tamago

package wiring

// I/O ports, by bytes and by words of 16 and 32 bits.
func outByte(port uint16, v uint8)
func inByte(port uint16) uint8

// OutByte writes to an I/O port.
func OutByte(port uint16, v uint8) { outByte(port, v) }

// InByte reads from an I/O port.
func InByte(port uint16) uint8 { return inByte(port) }

// OutWord writes to an I/O port.
func OutWord(port, v uint16)

// InWord reads from an I/O port.
func InWord(port uint16) uint16

// OutLong writes to an I/O port.
func OutLong(port uint16, v uint32)

func outAlone(port uint16, v uint32)

// OutLongAlone writes to an I/O port while no other CPU can touch a register of a
// device in memory: for writes that move such registers. QEMU 7.2 does not move them
// for all CPUs that it emulates at once: another CPU's access to any device may then
// reach the wrong one.
func OutLongAlone(port uint16, v uint32) { outAlone(port, v) }

// InLong reads from an I/O port.
func InLong(port uint16) uint32
