package test

import (
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/yolk-unikernel/yolk/test/internal/vm"
)

const mib = 1 << 20

// The host can use memory again that a program has freed.
func TestFreedMemoryReturnsToTheHost(t *testing.T) {
	for _, machine := range []string{"microvm", "q35", "pc"} {
		t.Run(machine, func(t *testing.T) {
			r, w := io.Pipe()
			defer w.Close()
			v := vm.Start(t, vm.Options{Target: prog, Args: []string{"release"}, Stdin: r,
				Flags: []string{"-m", "1500M", "-machine", machine}})
			v.WaitFor("small\n")
			before := v.Resident()
			fmt.Fprintln(w)
			v.WaitFor("large\n")
			large := v.Resident()
			if large < before+1000*mib {
				t.Errorf("VMM's memory %d MiB, then %d with a GiB in use", before/mib, large/mib)
			}
			fmt.Fprintln(w)
			v.WaitFor("free\n")
			eventually(t, "the VMM's memory in MiB", func() (int64, bool) {
				n := v.Resident()
				return n / mib, n <= large-900*mib
			})
			w.Close()
			if status := v.Wait(); status != 0 {
				t.Errorf("exit status %d", status)
			}
		})
	}
}

// eventually waits until a value is as wanted.
func eventually(t *testing.T, what string, f func() (int64, bool)) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		n, ok := f()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s stays at %d", what, n)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// The host takes memory with the balloon, and gives it back.
func TestBalloon(t *testing.T) {
	for _, machine := range []string{"microvm", "q35"} {
		t.Run(machine, func(t *testing.T) {
			r, w := io.Pipe()
			defer w.Close()
			v, m := startMonitored(t, vm.Options{Args: []string{"release"}, Stdin: r,
				Flags: []string{"-m", "1500M", "-machine", machine}})
			v.WaitFor("small\n")
			actual := func() int64 {
				return int64(m.do("query-balloon", nil).(map[string]any)["actual"].(float64))
			}
			resize := func(want int64) {
				m.do("balloon", map[string]any{"value": want})
				eventually(t, fmt.Sprintf("the guest's memory, to be %d MiB,", want/mib), func() (int64, bool) {
					n := actual()
					return n / mib, n == want
				})
			}
			resize(256 * mib)
			// The program and its reserve do not fit in the rest of the memory.
			m.do("balloon", map[string]any{"value": mib})
			eventually(t, "the guest's memory, to be its own,", func() (int64, bool) {
				n := actual()
				return n / mib, n < 256*mib
			})
			if n := actual(); n < 8*mib {
				t.Errorf("of the guest's memory %d MiB are left; want its reserve", n/mib)
			}
			resize(1500 * mib)
			for _, word := range []string{"large\n", "free\n", "END\n"} { // a GiB can be used
				fmt.Fprintln(w)
				v.WaitFor(word)
			}
			w.Close()
			if status := v.Wait(); status != 0 {
				t.Errorf("exit status %d", status)
			}
		})
	}
}

// The collector keeps the heap below the RAM that the balloon has left. With a limit of the whole RAM,
// the program would run out of memory.
func TestBalloonBoundsTheHeap(t *testing.T) {
	v, m := startMonitored(t, vm.Options{Args: []string{"garbage"}, Flags: []string{"-m", "1024M", "-e", "GOGC=off"}})
	v.WaitFor("started\n")
	m.do("balloon", map[string]any{"value": 128 * mib})
	v.WaitFor("END\n")
	if status := v.Wait(); status != 0 {
		t.Errorf("exit status %d", status)
	}
}
