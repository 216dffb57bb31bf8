package wiring_test

import (
	"slices"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/yolk-unikernel/yolk/runtime/wiring"
	"github.com/yolk-unikernel/yolk/runtime/wiring/wiringtest"
)

// Each way in which a program ends calls what has to happen before, once, and then ends
// the machine with the right status or sends the signal.
func TestExitPaths(t *testing.T) {
	exit := func(nr uintptr, args ...any) func(m *wiringtest.Machine) {
		return func(m *wiringtest.Machine) { m.Run(func() { m.Call(nr, args...) }) }
	}
	const powerOff = 0x4321fedc // reboot(2)
	for _, tt := range []struct {
		name    string
		wanted  syscall.Signal
		end     func(m *wiringtest.Machine)
		before  int
		exits   []int
		signals []syscall.Signal
	}{
		{"os.Exit", 0, func(m *wiringtest.Machine) { m.OSExit(3) }, 1, []int{3}, nil},
		{"a panic", 0, func(m *wiringtest.Machine) { m.Panic() }, 1, []int{2}, nil},
		{"reboot", 0, exit(syscall.SYS_REBOOT, 0xfee1dead, 672274793, powerOff, 0), 1, []int{0}, nil},
		{"mounting fails", 0, func(m *wiringtest.Machine) { m.Run(func() { wiring.Exit(1) }) }, 1, []int{1}, nil},
		{"a signal that is not handled", 0, func(m *wiringtest.Machine) { wiring.Raise(syscall.SIGTERM) }, 1, nil, []syscall.Signal{syscall.SIGTERM}},
		{"a signal that is handled", syscall.SIGTERM, func(m *wiringtest.Machine) { wiring.Raise(syscall.SIGTERM) }, 0, nil, []syscall.Signal{syscall.SIGTERM}},
		{"another is handled", syscall.SIGINT, func(m *wiringtest.Machine) { wiring.Raise(syscall.SIGTERM) }, 1, nil, []syscall.Signal{syscall.SIGTERM}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wiringtest.Bubble(t, func(t *testing.T, m *wiringtest.Machine) {
				m.Start()
				before := 0
				wiring.BeforeExit(func() {
					before++
					if exits, signals := m.Ends(); len(exits)+len(signals) != 0 {
						t.Errorf("the machine ends before all is ready: %v, %v", exits, signals)
					}
				})
				if tt.wanted != 0 {
					m.Want(tt.wanted)
				}
				tt.end(m)
				synctest.Wait()
				exits, signals := m.Ends()
				if before != tt.before || !slices.Equal(exits, tt.exits) || !slices.Equal(signals, tt.signals) {
					t.Errorf("prepared %d times, exit status %v, signals %v; want %d, %v, %v", before, exits, signals, tt.before, tt.exits, tt.signals)
				}
			})
		})
	}
}

// Without anything to do before, the ends are as short as can be.
func TestExitWithoutPreparation(t *testing.T) {
	m := wiringtest.New(t)
	m.Start()
	if !m.Run(func() { wiring.Exit(4) }) {
		t.Error("Exit returned")
	}
	wiring.Raise(syscall.SIGTERM)
	m.OSExit(5)
	if exits, signals := m.Ends(); !slices.Equal(exits, []int{4, 5}) || !slices.Equal(signals, []syscall.Signal{syscall.SIGTERM}) {
		t.Errorf("exits %v, signals %v; want 4 and 5, SIGTERM", exits, signals)
	}
}

// The program does not see how its disks go: from when the end begins, its system calls
// do not return, those under way included.
func TestEndingBlocksSystemCalls(t *testing.T) {
	m := wiringtest.New(t)
	m.Start()
	call := func(nr uintptr, args ...any) {
		m.Call(nr, args...)
		t.Errorf("system call %d returned although the program ends", nr)
	}
	go call(syscall.SYS_READ, 0, make([]byte, 1), 1) // waits for input
	begun, done := make(chan bool), make(chan bool)
	wiring.BeforeExit(func() {
		close(begun)
		<-done // as long as disks take
	})
	ended := make(chan bool)
	go func() {
		m.OSExit(0)
		close(ended)
	}()
	<-begun
	go call(syscall.SYS_GETPID)
	m.Type([]byte("x"))
	m.WaitBlocked(2)
	if exits, _ := m.Ends(); len(exits) != 0 {
		t.Errorf("the machine has ended with %v before its disks", exits)
	}
	close(done)
	<-ended
	if exits, _ := m.Ends(); !slices.Equal(exits, []int{0}) {
		t.Errorf("exits %v; want 0", exits)
	}
}
