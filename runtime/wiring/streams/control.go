package streams

import (
	"syscall"

	"github.com/yolk-unikernel/yolk/boot"
	"github.com/yolk-unikernel/yolk/drivers/virtio/console"
	"github.com/yolk-unikernel/yolk/runtime/wiring"
)

// maxLine bounds a line of the control port.
const maxLine = 256

// wayOut says once what the host does with keys that the program takes all (tools/internal/qemu/keys.go).
const wayOut = "yolk: Enter, ~ and . end the VM\r\n"

// keys tells the host whether keys of the terminal make signals.
func (s *streams) keys(signals bool) {
	wiring.Waiting(1)
	<-s.connected
	if s.control != nil {
		line := keysSignals
		if !signals {
			line = keysProgram
			s.said.Do(func() { s.write(&s.out, []byte(wayOut)) })
		}
		s.control.Write([]byte(line)) // a host that has gone need not know
	}
	wiring.Waiting(-1)
}

// Lines for the host: keys are the program's, all of them, or make signals.
const (
	keysProgram = "keys program\n"
	keysSignals = "keys signals\n"
)

// obey does what the lines of the control port say, until the port or the device ends.
func obey(control *console.Port) {
	var line []byte
	var b [maxLine]byte
	for {
		n, err := control.Read(b[:])
		for _, c := range b[:n] {
			switch {
			case c == '\n':
				command(line)
				line = line[:0]
			case len(line) < maxLine:
				line = append(line, c)
			}
		}
		if err != nil {
			return
		}
	}
}

// command does what a line says:
//
//	size ROWS COLUMNS   the terminal's window, in characters
//	signal NUMBER       one for the program: SIGHUP, SIGINT, SIGQUIT or SIGTERM
//
// Others, from a newer host, are left.
func command(line []byte) {
	var words [3]string
	var word [maxLine]byte
	n := 0
	for n < len(words) {
		w, rest, more := boot.NextWord(line, word[:])
		if !more {
			break
		}
		words[n], line = string(w), rest
		n++
	}
	switch {
	case n == 3 && words[0] == "size":
		wiring.ResizeConsole(number(words[1]), number(words[2]))
	case n == 2 && words[0] == "signal":
		switch sig := syscall.Signal(number(words[1])); sig {
		case syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM:
			wiring.Raise(sig)
		}
	}
}

// number returns a number up to 65535, else 0.
func number(s string) int {
	n, rest, ok := boot.CutNumber([]byte(s), 1<<16-1)
	if !ok || len(rest) > 0 {
		return 0
	}
	return int(n)
}
