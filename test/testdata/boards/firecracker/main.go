// Command firecracker is a program of the TamaGo framework for its board firecracker/microvm.
package main

import (
	"example.test/boards/check"
	board "github.com/usbarmory/tamago/board/firecracker/microvm"
)

func main() { check.Board(board.AMD64, board.IOAPIC0, board.UART0) }
