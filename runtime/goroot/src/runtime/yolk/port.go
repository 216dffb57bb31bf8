//go:build tamago

package yolk

// outByte writes to an I/O port.
func outByte(port uint16, v uint8)
