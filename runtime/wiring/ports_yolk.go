//go:build yolk

package wiring

// The instructions IN and OUT: ports_yolk_amd64.s.
func outByte(port uint16, v uint8)
func inByte(port uint16) uint8

// OutWord writes 16 bits to an I/O port.
func OutWord(port, v uint16)

// InWord reads 16 bits from an I/O port.
func InWord(port uint16) uint16

// OutLong writes 32 bits to an I/O port.
func OutLong(port uint16, v uint32)

// InLong reads 32 bits from an I/O port.
func InLong(port uint16) uint32
