// Command board is a program of the TamaGo framework.
package main

import (
	"fmt"

	"github.com/usbarmory/tamago/board/qemu/microvm"
)

func main() {
	fmt.Printf("a board with its console at %#x\n", microvm.UART0.Base)
}
