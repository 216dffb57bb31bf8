package streams

import (
	"bytes"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/yolk-unikernel/yolk/drivers/virtio"
	"github.com/yolk-unikernel/yolk/drivers/virtio/virtiotest"
	"github.com/yolk-unikernel/yolk/runtime/wiring/wiringtest"
)

const word = "yolk.console=virtio"

// newConsole adds a console with ports of these names, from number 1 on, to a machine.
func newConsole(t *testing.T, m *wiringtest.Machine, features uint64, names ...string) *virtiotest.Console {
	h := virtiotest.NewConsole(t, m.DeviceMemory(), virtio.FeatureVersion1|features, 132, 50, append([]string{""}, names...)...)
	m.Add(h.Device)
	return h
}

// got returns what has come by a port since the last call.
func got(h *virtiotest.Console, port int) (s string) {
	h.Do(func() {
		s = string(h.Got[port])
		h.Got[port] = nil
	})
	return s
}

// read reads standard input without waiting.
func readInput(t *testing.T, m *wiringtest.Machine) (data string, end bool) {
	t.Helper()
	m.Must(syscall.SYS_FCNTL, 0, syscall.F_SETFL, syscall.O_RDWR|syscall.O_NONBLOCK)
	b := make([]byte, 64<<10)
	for {
		n, e := m.Call(syscall.SYS_READ, 0, b, len(b))
		switch {
		case e == syscall.EAGAIN:
			return data, false
		case e != 0:
			t.Fatalf("read: %v", e)
		case n == 0:
			return data, true
		}
		data += string(b[:n])
		synctest.Wait()
	}
}

// end ends the device, so that no goroutine stays.
func end(s *streams) {
	if s != nil {
		s.dev.Close()
	}
	synctest.Wait()
}

var names = []string{inPort, outPort, errPort, controlPort}

// Each stream has its port; what came before goes to the serial port, and the end of the input is one.
func TestStreams(t *testing.T) {
	wiringtest.Bubble(t, func(t *testing.T, m *wiringtest.Machine) {
		h := newConsole(t, m, virtiotest.ConsoleMultiport, names...)
		m.Start(word)
		m.Must(syscall.SYS_WRITE, 2, []byte("early\n"), 6)
		m.WantOutput("early\n")
		defer end(start())
		m.Must(syscall.SYS_WRITE, 1, []byte("result\n"), 7)
		m.Must(syscall.SYS_WRITE, 2, []byte("remark\n"), 7)
		if out, errs := got(h, 2), got(h, 3); out != "result\n" || errs != "remark\n" {
			t.Errorf("out %q, err %q when the writes have returned", out, errs)
		}
		m.WantQuiet()
		sent := bytes.Repeat([]byte("0123456789abcdef"), 40<<10/16*10) // more than the kernel holds
		h.Change(func() { h.ToGuest[1], h.Closed[1] = bytes.Clone(sent), true })
		synctest.Wait()
		if data, end := readInput(t, m); data != string(sent) || !end {
			t.Errorf("%d bytes, end %v; want %d", len(data), end, len(sent))
		}
		h.Change(func() { h.Closed[2] = true })
		synctest.Wait()
		if n, e := m.Call(syscall.SYS_WRITE, 1, []byte("x"), 1); e != syscall.EPIPE {
			t.Errorf("write without a reader: %d, %v; want EPIPE", n, e)
		}
	})
}

// The control port asks for signals; lines that mean nothing do nothing.
func TestControl(t *testing.T) {
	wiringtest.Bubble(t, func(t *testing.T, m *wiringtest.Machine) {
		h := newConsole(t, m, virtiotest.ConsoleMultiport, names...)
		m.Start(word)
		defer end(start())
		lines := "signal 15\nsignal 9\nsignal\nsignal x\nsize 1 2 3\nsize -1 70000\n\"\n" + strings.Repeat("long ", 1000) + "\nnewer thing\nsignal 2\n"
		h.Change(func() { h.ToGuest[4] = []byte(lines) })
		synctest.Wait()
		if _, signals := m.Ends(); !slices.Equal(signals, []syscall.Signal{syscall.SIGTERM, syscall.SIGINT}) {
			t.Errorf("signals %v; want SIGTERM, SIGINT", signals)
		}
	})
}

// A terminal is one port. Its size comes by the control port, and a change is SIGWINCH for who wants that.
func TestTerminal(t *testing.T) {
	wiringtest.Bubble(t, func(t *testing.T, m *wiringtest.Machine) {
		h := newConsole(t, m, virtiotest.ConsoleMultiport, terminalPort, controlPort)
		m.Want(syscall.SIGWINCH)
		m.Start(word, "yolk.tty=1")
		defer end(start())
		h.Change(func() {
			h.ToGuest[1] = []byte("typed\r\x03")
			h.ToGuest[2] = []byte("size 60 200\nsize 60 200\n")
		})
		synctest.Wait()
		m.Must(syscall.SYS_WRITE, 1, []byte("out\n"), 4)
		m.Must(syscall.SYS_WRITE, 2, []byte("err\n"), 4)
		if data, _ := readInput(t, m); data != "typed\n" {
			t.Errorf("input %q", data)
		}
		if s := got(h, 1); s != "typed\r\n^Cout\r\nerr\r\n" {
			t.Errorf("the terminal shows %q", s)
		}
		win := make([]byte, 8)
		m.Must(syscall.SYS_IOCTL, 0, syscall.TIOCGWINSZ, win)
		if win[0] != 60 || win[2] != 200 {
			t.Errorf("window %v", win)
		}
		if _, signals := m.Ends(); len(signals) != 2 || !slices.Contains(signals, syscall.SIGWINCH) || !slices.Contains(signals, syscall.SIGINT) {
			t.Errorf("signals %v; want SIGINT and one SIGWINCH", signals)
		}
	})
}

// termios returns the settings of the terminal, struct termios of ioctl_tty(2).
func termios(m *wiringtest.Machine) []byte {
	state := make([]byte, 36)
	m.Must(syscall.SYS_IOCTL, 0, syscall.TCGETS, state)
	return state
}

// A program that takes all keys has the host know, before its call returns, and the user once.
func TestKeys(t *testing.T) {
	wiringtest.Bubble(t, func(t *testing.T, m *wiringtest.Machine) {
		h := newConsole(t, m, virtiotest.ConsoleMultiport, terminalPort, controlPort)
		m.Start(word, "yolk.tty=1")
		defer end(start())
		state := termios(m)
		cooked := bytes.Clone(state)
		state[12] &^= syscall.ECHO
		m.Must(syscall.SYS_IOCTL, 0, syscall.TCSETS, state) // as for a password
		if shown, told := got(h, 1), got(h, 2); shown+told != "" {
			t.Errorf("without echo: the terminal shows %q, the host is told %q", shown, told)
		}
		state[12] &^= syscall.ISIG | syscall.ICANON
		for i, want := range []string{wayOut, ""} {
			m.Must(syscall.SYS_IOCTL, 0, syscall.TCSETS, state)
			if shown, told := got(h, 1), got(h, 2); shown != want || told != "keys program\n" {
				t.Errorf("%d: the terminal shows %q, the host is told %q; want %q", i, shown, told, want)
			}
			h.Change(func() { h.ToGuest[1] = []byte("\x03\x1b[A~.") })
			synctest.Wait()
			if data, _ := readInput(t, m); data != "\x03\x1b[A~." {
				t.Errorf("input %q", data)
			}
			m.Must(syscall.SYS_IOCTL, 0, syscall.TCSETS, cooked)
			if shown, told := got(h, 1), got(h, 2); shown != "" || told != "keys signals\n" {
				t.Errorf("%d: then the terminal shows %q, the host is told %q", i, shown, told)
			}
		}
	})
}

// What is meant for the host is not shown to the user if the device fails meanwhile.
func TestKeysOfFailingDevice(t *testing.T) {
	wiringtest.Bubble(t, func(t *testing.T, m *wiringtest.Machine) {
		h := newConsole(t, m, virtiotest.ConsoleMultiport, terminalPort, controlPort)
		m.Start(word, "yolk.tty=1")
		defer end(start())
		state := termios(m)
		state[12] &^= syscall.ISIG
		h.Do(func() { h.Deaf[2] = true })
		go func() {
			time.Sleep(time.Second)
			h.Do(func() {
				h.Queues[7].SetUsedIndex(9000)
				h.Queues[7].Push(0, 0)
				h.Queues[7].Flush()
			})
		}()
		m.Must(syscall.SYS_IOCTL, 0, syscall.TCSETS, state)
		m.Must(syscall.SYS_WRITE, 1, []byte("shown\n"), 6)
		synctest.Wait()
		if out := m.Output(); strings.Contains(out, "keys") || !strings.Contains(out, "shown\r\n") {
			t.Errorf("the serial port has %q", out)
		}
	})
}

// A device with one port is one for all.
func TestOnePort(t *testing.T) {
	wiringtest.Bubble(t, func(t *testing.T, m *wiringtest.Machine) {
		h := virtiotest.NewConsole(t, m.DeviceMemory(), virtio.FeatureVersion1|virtiotest.ConsoleSize, 132, 50, "")
		m.Add(h.Device)
		m.Start(word, "yolk.tty=1")
		defer end(start())
		m.Must(syscall.SYS_WRITE, 1, []byte("shown"), 5)
		if s := got(h, 0); s != "shown" {
			t.Errorf("the console shows %q", s)
		}
		win := make([]byte, 8)
		m.Must(syscall.SYS_IOCTL, 0, syscall.TIOCGWINSZ, win)
		if win[0] != 50 || win[2] != 132 {
			t.Errorf("window %v", win)
		}
	})
}

// Without the device, with one that breaks the rules and with one that says nothing, the serial port serves, and no
// output is lost.
func TestSerialServes(t *testing.T) {
	for name, tt := range map[string]struct {
		add  func(t *testing.T, m *wiringtest.Machine)
		says string
	}{
		"none": {func(*testing.T, *wiringtest.Machine) {}, "there is no such device"},
		"refuses": {func(t *testing.T, m *wiringtest.Machine) {
			newConsole(t, m, virtiotest.ConsoleMultiport, names...).RefuseDriver = true
		}, virtio.ErrFeaturesOK.Error()},
		"other ports": {func(t *testing.T, m *wiringtest.Machine) {
			newConsole(t, m, virtiotest.ConsoleMultiport, "org.qemu.guest_agent.0")
		}, string(errPatience)},
		"breaks": {func(t *testing.T, m *wiringtest.Machine) {
			h := newConsole(t, m, virtiotest.ConsoleMultiport, names...)
			h.Deaf[2] = true
			go func() {
				time.Sleep(time.Second)
				h.Do(func() {
					h.Queues[7].SetUsedIndex(9000)
					h.Queues[7].Push(0, 0)
					h.Queues[7].Flush()
				})
			}()
		}, virtio.ErrUsedIndex.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			wiringtest.Bubble(t, func(t *testing.T, m *wiringtest.Machine) {
				tt.add(t, m)
				m.Start(word)
				defer end(start())
				m.Must(syscall.SYS_WRITE, 1, []byte("not lost\n"), 9)
				synctest.Wait()
				m.WantOutput("not lost\n", tt.says, "the serial port serves")
			})
		})
	}
}

// Without the word nothing is touched.
func TestNotAsked(t *testing.T) {
	wiringtest.Bubble(t, func(t *testing.T, m *wiringtest.Machine) {
		h := newConsole(t, m, virtiotest.ConsoleMultiport, names...)
		m.Start("yolk.console=serial")
		defer end(start())
		m.Must(syscall.SYS_WRITE, 1, []byte("x"), 1)
		if m.WantOutput("x"); h.Alive() {
			t.Error("the device is at work")
		}
	})
}
