// Command qemu is a program of the TamaGo framework for its board qemu/microvm.
package main

import (
	"example.test/boards/check"
	board "github.com/usbarmory/tamago/board/qemu/microvm"
)

func main() { check.Board(board.AMD64, board.IOAPIC0, board.UART0) }
