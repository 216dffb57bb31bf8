//go:build tamago

package yolk

// I/O ports, by bytes and by 32-bit words.
func outByte(port uint16, v uint8)
func inByte(port uint16) uint8

// OutLong writes to an I/O port.
func OutLong(port uint16, v uint32)

// InLong reads from an I/O port.
func InLong(port uint16) uint32
