package qemu

import (
	"bufio"
	"io"
)

// Lines of the guest's control port (runtime/wiring/streams): keys of the terminal are the program's, all of them, or
// Ctrl-C and Ctrl-\ make signals.
const (
	keysProgram = "keys program"
	keysSignals = "keys signals"
)

// readControl does what the guest says on its control port, until its end.
func (vm *VM) readControl() {
	lines := bufio.NewScanner(vm.ports.control)
	for lines.Scan() {
		switch lines.Text() {
		case keysProgram, keysSignals:
			all := lines.Text() == keysProgram
			vm.allKeys.Store(all)
			if vm.con.Keys != nil {
				vm.con.Keys(!all)
			}
		}
	}
	io.Copy(io.Discard, vm.ports.control) // a line too long for the scanner must not block the guest
}

// typing passes keys on. While the program takes them all, ~ and . at the beginning of a line call leave, and ~~ is ~,
// as in ssh(1).
type typing struct {
	w      io.Writer
	all    func() bool // the program takes all keys
	leave  func()
	inLine bool // the last key was not Enter
	held   bool // the last key was ~ at the beginning of a line, and has not been passed on
}

func (t *typing) Write(p []byte) (int, error) {
	out := make([]byte, 0, len(p)+1)
	for _, c := range p {
		out = t.key(out, c)
	}
	if _, err := t.w.Write(out); err != nil {
		return 0, err
	}
	return len(p), nil
}

// key appends what a key passes on.
func (t *typing) key(out []byte, c byte) []byte {
	held := t.held
	t.held = !held && !t.inLine && c == '~' && t.all()
	t.inLine = c != '\r' && c != '\n'
	switch {
	case t.held:
		t.inLine = false
		return out
	case held && c == '.':
		t.leave()
		return out
	case held && c != '~':
		out = append(out, '~')
	}
	return append(out, c)
}
