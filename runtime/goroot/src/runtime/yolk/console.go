//go:build tamago

package yolk

// comIRQ is the interrupt of the first serial port, comEnable its register for
// what interrupts.
const (
	comIRQ    = 4
	comEnable = 0x3f9
)

// startConsole passes what is typed at the serial port to the kernel.
func startConsole() {
	irq := RouteGSI(comIRQ, false)
	if irq == nil {
		return
	}
	outByte(comEnable, 1) // received data
	go func() {
		var buf [64]byte
		for {
			if n := consoleRead(buf[:]); n > 0 {
				Kernel.ConsoleInput(buf[:n])
				continue
			}
			irq.Wait()
		}
	}()
}
