package signals

import (
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
)

// mask is a thread's mask as a table of signals.
type mask [65]bool

func (m *mask) set() (s uint64) {
	for sig := uint32(1); sig <= 64; sig++ {
		if m[sig] {
			s |= Bit(sig)
		}
	}
	return s
}

func tableOf(set uint64) (m mask) {
	for sig := uint32(1); sig <= 64; sig++ {
		m[sig] = set&Bit(sig) != 0
	}
	return m
}

// testMask makes changes of a mask, 9 bytes each: how, and the set.
func testMask(t *testing.T, b []byte) {
	var want mask
	got := uint64(0)
	for ; len(b) >= 9; b = b[9:] {
		how := uintptr(b[0] % 4)
		set := uint64(0)
		for _, v := range b[1:9] {
			set = set<<8 | uint64(v)
		}
		ok := how <= SetMask
		for sig, in := range tableOf(set) {
			switch {
			case !ok:
			case how == SetMask, in:
				want[sig] = in && how != Unblock
			}
		}
		want[syscall.SIGKILL], want[syscall.SIGSTOP] = false, false
		var done bool
		if got, done = Change(got, how, set); got != want.set() || done != ok {
			t.Fatalf("after a change by %d, %#x: %#x, %t; want %#x, %t", how, set, got, done, want.set(), ok)
		}
	}
}

func TestChange(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 8))
	b := make([]byte, 9*10000)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	testMask(t, b)
}

func FuzzMask(f *testing.F) {
	f.Add([]byte{2, 255, 255, 255, 255, 255, 255, 255, 255, 1, 0, 0, 0, 0, 0, 0, 1, 0})
	f.Fuzz(testMask)
}

// Every signal of a set is delivered once: faults, then SIGPROF, then by number.
func TestFirst(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 9))
	rank := func(sig uint32) int {
		switch syscall.Signal(sig) {
		case syscall.SIGSEGV, syscall.SIGBUS, syscall.SIGILL, syscall.SIGTRAP, syscall.SIGFPE, syscall.SIGSYS:
			return int(sig)
		case syscall.SIGPROF:
			return 100
		}
		return 200 + int(sig)
	}
	for range 1000 {
		set := r.Uint64() & r.Uint64()
		left := tableOf(set)
		last := -1
		for set != 0 {
			sig := First(set)
			if sig < 1 || sig > 64 || !left[sig] {
				t.Fatalf("First(%#x) = %d, which is not in it", set, sig)
			}
			if rank(sig) < last {
				t.Fatalf("First(%#x) = %d, after one that should come later", set, sig)
			}
			last = rank(sig)
			set &^= Bit(sig)
			left[sig] = false
		}
		if left != (mask{}) {
			t.Fatalf("%#x is never delivered", left.set())
		}
	}
}

// The table of signal(7).
func TestDefault(t *testing.T) {
	want := map[syscall.Signal]Action{
		syscall.SIGABRT: Core, syscall.SIGBUS: Core, syscall.SIGFPE: Core, syscall.SIGILL: Core, syscall.SIGQUIT: Core,
		syscall.SIGSEGV: Core, syscall.SIGSYS: Core, syscall.SIGTRAP: Core, syscall.SIGXCPU: Core, syscall.SIGXFSZ: Core,
		syscall.SIGCHLD: Ignore, syscall.SIGCONT: Ignore, syscall.SIGURG: Ignore, syscall.SIGWINCH: Ignore,
	}
	for sig := syscall.Signal(1); sig <= 64; sig++ {
		if got := Default(uint32(sig)); got != want[sig] {
			t.Errorf("Default(%s) = %d; want %d", fmt.Sprint(sig), got, want[sig])
		}
	}
}
