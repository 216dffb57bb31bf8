// Command uart writes its arguments to the second serial port, COM2, with the TamaGo framework's driver. The
// program reaches the port's registers by itself: it runs at ring 0.
//
//	yolk run -machine q35 -qemu-arg -serial -qemu-arg file:com2.txt ./examples/uart -- hello
package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/usbarmory/tamago/soc/intel/uart"
)

const com2 = 0x2f8 // COM1, at 0x3f8, is the console

func main() {
	port := &uart.UART{Index: 2, Base: com2, DTR: true, RTS: true}
	port.Init()
	line := strings.Join(os.Args[1:], " ") + "\r\n"
	for _, c := range []byte(line) {
		port.Tx(c)
	}
	fmt.Printf("%d bytes to COM2\n", len(line))
}
