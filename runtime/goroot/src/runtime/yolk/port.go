//go:build tamago

package yolk

// outByte, outLong and inLong access I/O ports.
func outByte(port uint16, v uint8)
func outLong(port uint16, v uint32)
func inLong(port uint16) uint32
