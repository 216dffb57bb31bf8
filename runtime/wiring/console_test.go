package wiring_test

import (
	"bytes"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/yolk-unikernel/yolk/runtime/wiring"
	"github.com/yolk-unikernel/yolk/runtime/wiring/wiringtest"
)

// input reads what has come in at standard input, up to its end.
func input(t *testing.T, m *wiringtest.Machine) (data string, end bool) {
	t.Helper()
	m.Must(syscall.SYS_FCNTL, 0, syscall.F_SETFL, syscall.O_RDWR|syscall.O_NONBLOCK)
	b := make([]byte, 1000)
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
	}
}

func TestConsoleInput(t *testing.T) {
	for _, tt := range []struct {
		name    string
		word    string
		typed   []string // each is one interrupt
		want    string
		end     bool
		signals []syscall.Signal
	}{
		{"plain", "", []string{"abc\n", "d"}, "abc\nd", false, nil},
		{"plain keeps DLE", "", []string{"a\x10e\x10\x10"}, "a\x10e\x10\x10", false, nil},
		{"more than is read at once", "", []string{strings.Repeat("0123456789", 100)}, strings.Repeat("0123456789", 100), false, nil},
		{"escaped bytes", "yolk.input=escaped", []string{"a\x10\x10b\x00\xff"}, "a\x10b\x00\xff", false, nil},
		{"end", "yolk.input=escaped", []string{"abc\x10e"}, "abc", true, nil},
		{"end alone", "yolk.input=escaped", []string{"\x10e"}, "", true, nil},
		{"split", "yolk.input=escaped", []string{"a\x10", "\x10b\x10", "e"}, "a\x10b", true, nil},
		{"signals", "yolk.input=escaped", []string{"1\x10i2\x10t3\x10q4"}, "1234", false, []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT}},
		{"unknown command", "yolk.input=escaped", []string{"1\x10z2"}, "12", false, nil},
		{"split at 64 bytes", "yolk.input=escaped", []string{strings.Repeat("x", 63) + "\x10\x10y"}, strings.Repeat("x", 63) + "\x10y", false, nil},
		{"another word", "yolk.input=escape", []string{"\x10e"}, "\x10e", false, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wiringtest.Bubble(t, func(t *testing.T, m *wiringtest.Machine) {
				m.Start(tt.word)
				for _, s := range tt.typed {
					m.Type([]byte(s))
					synctest.Wait()
				}
				got, end := input(t, m)
				if _, signals := m.Ends(); got != tt.want || end != tt.end || !slices.Equal(signals, tt.signals) {
					t.Errorf("input %q, at its end %v, signals %v; want %q, %v, %v", got, end, signals, tt.want, tt.end, tt.signals)
				}
			})
		})
	}
}

// What nobody reads stays with the VMM: nothing of it is lost, however much it is.
func TestConsoleFlowControl(t *testing.T) {
	wiringtest.Bubble(t, func(t *testing.T, m *wiringtest.Machine) {
		m.Start()
		var sent []byte
		for i := range 200 << 10 {
			sent = append(sent, byte(i*7>>3))
		}
		m.Type(sent)
		synctest.Wait()
		var got string
		for {
			s, _ := input(t, m)
			if s == "" {
				break
			}
			got += s
			synctest.Wait()
		}
		if got != string(sent) {
			t.Errorf("%d bytes of %d came, or others", len(got), len(sent))
		}
	})
}

// A person's ^C at a terminal is SIGINT.
func TestTerminalInterrupt(t *testing.T) {
	wiringtest.Bubble(t, func(t *testing.T, m *wiringtest.Machine) {
		m.Start("yolk.tty=1")
		m.Type([]byte("a\x03"))
		synctest.Wait()
		if _, signals := m.Ends(); !slices.Equal(signals, []syscall.Signal{syscall.SIGINT}) {
			t.Errorf("signals %v; want SIGINT", signals)
		}
	})
}

// model decodes escaped input in one piece.
func model(p []byte) (data []byte, end bool, signals []syscall.Signal) {
	for len(p) > 0 {
		plain, rest, escaped := bytes.Cut(p, []byte{0x10})
		data = append(data, plain...)
		if !escaped || len(rest) == 0 {
			break
		}
		switch rest[0] {
		case 0x10:
			data = append(data, 0x10)
		case 'e':
			end = true
		case 'i':
			signals = append(signals, syscall.SIGINT)
		case 't':
			signals = append(signals, syscall.SIGTERM)
		case 'q':
			signals = append(signals, syscall.SIGQUIT)
		}
		p = rest[1:]
	}
	return data, end, signals
}

// Input means the same however it is cut into pieces.
func FuzzConsoleInput(f *testing.F) {
	f.Add([]byte("ab\x10\x10c\x10e"), uint64(0b1011))
	f.Add([]byte("\x10i\x10t\x10q\x10"), uint64(1))
	f.Add([]byte("\x10\x10\x10\x10e\x10"), uint64(0xffff))
	f.Fuzz(func(t *testing.T, typed []byte, cuts uint64) {
		typed = typed[:min(len(typed), 4096)]
		want, wantEnd, wantSignals := model(typed)
		m := wiringtest.New(t)
		m.Vectors = -1 // no goroutine of its own
		m.Start()
		in := wiring.NewConsoleInput(true)
		for i, rest := 0, bytes.Clone(typed); len(rest) > 0; i++ {
			n := len(rest)
			if i < 64 {
				n = min(n, 1+int(cuts>>i&3))
			}
			in.Take(rest[:n])
			rest = rest[n:]
		}
		got, end := input(t, m)
		_, signals := m.Ends()
		if got != string(want) || end != wantEnd || !slices.Equal(signals, wantSignals) {
			t.Errorf("%q: %q, end %v, signals %v; want %q, %v, %v", typed, got, end, signals, want, wantEnd, wantSignals)
		}
	})
}
