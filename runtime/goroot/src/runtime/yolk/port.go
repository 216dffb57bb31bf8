//go:build tamago

package yolk

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

// InLong reads from an I/O port.
func InLong(port uint16) uint32
