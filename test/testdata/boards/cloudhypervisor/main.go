// Command cloudhypervisor is a program of the TamaGo framework for its board cloud_hypervisor/vm.
package main

import (
	"example.test/boards/check"
	board "github.com/usbarmory/tamago/board/cloud_hypervisor/vm"
)

func main() { check.Board(board.AMD64, board.IOAPIC0, board.UART0) }
