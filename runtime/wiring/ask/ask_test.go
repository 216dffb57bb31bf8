package ask_test

import (
	"encoding/binary"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/yolk-unikernel/yolk/drivers/virtio"
	"github.com/yolk-unikernel/yolk/drivers/virtio/console"
	"github.com/yolk-unikernel/yolk/drivers/virtio/virtiotest"
	"github.com/yolk-unikernel/yolk/kernel"
	"github.com/yolk-unikernel/yolk/runtime/wiring"
	"github.com/yolk-unikernel/yolk/runtime/wiring/ask"
	_ "github.com/yolk-unikernel/yolk/runtime/wiring/ask/more"
	"github.com/yolk-unikernel/yolk/runtime/wiring/devices"
	"github.com/yolk-unikernel/yolk/runtime/wiring/wiringtest"
)

// asker is a host that asks a machine.
type asker struct {
	t *testing.T
	m *wiringtest.Machine
	h *virtiotest.Console
}

// start calls f with a machine that can be asked.
func start(t *testing.T, f func(t *testing.T, a *asker)) {
	wiringtest.Bubble(t, func(t *testing.T, m *wiringtest.Machine) {
		h := virtiotest.NewConsole(t, m.DeviceMemory(), virtio.FeatureVersion1|virtiotest.ConsoleMultiport, 80, 25, "", "yolk.ask")
		m.Add(h.Device)
		m.Start()
		d := devices.FindDevices(virtio.TypeConsole)[0]
		transport, irqs, err := d.Open()
		if err != nil {
			t.Fatal(err)
		}
		dev, err := console.New(transport, devices.DMA{}, console.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, irq := range irqs {
			go virtio.Serve(irq.Wait, dev.HandleInterrupt)
		}
		go ask.Serve(dev)
		f(t, &asker{t, m, h})
		dev.Close()
		synctest.Wait()
	})
}

// send sends bytes, and returns what has come back.
func (a *asker) send(s string) (got []byte) {
	a.h.Change(func() { a.h.ToGuest[1] = append(a.h.ToGuest[1], s...) })
	synctest.Wait()
	a.h.Do(func() { got, a.h.Got[1] = a.h.Got[1], nil })
	return got
}

// ask asks one question, and returns the answer, and why there is not more.
func (a *asker) ask(line string) (answer, why string) {
	a.t.Helper()
	got := a.send(line + "\n")
	for first := true; len(got) >= 5; first = false {
		kind, n := got[0], int(binary.LittleEndian.Uint32(got[1:]))
		if len(got) < 5+n || first && (kind != 'd' || n != 0) {
			break
		}
		data := string(got[5:][:n])
		if got = got[5+n:]; kind != 'd' {
			if kind == 'e' && n != 0 || kind == 'x' && n == 0 || len(got) > 0 {
				break
			}
			return answer, data
		}
		answer += data
	}
	a.t.Fatalf("%q has no good answer; what is left of it: %q", line, got)
	return "", ""
}

func (a *asker) must(line, want string) string {
	a.t.Helper()
	answer, why := a.ask(line)
	if !strings.Contains(answer, want) || why != "" {
		a.t.Errorf("%q: %q, %q; want %q", line, answer, why, want)
	}
	return answer
}

func TestAnswers(t *testing.T) {
	kernel.AddProc()
	start(t, func(t *testing.T, a *asker) {
		wiring.Kernel.Log("something to read")
		a.m.Must(syscall.SYS_DUP, 1)
		a.must("1 stacks", "ask_test.start")
		a.must("1 read /dev/kmsg", "-;something to read\n")
		a.must("1 heap", "")
		files := a.must("1 files", "0\"")
		if n := strings.Count(files, "\npos:\t0\n"); n != 4 || !strings.Contains(files, "\n3\"") {
			t.Errorf("files: %q; want the program's four, and none of the question", files)
		}
		queues := a.must("1 queues", "device 3 \"mmio 0xfeb00000\" 15 ")
		if !strings.Contains(queues, "\nqueue 4 16 ") {
			t.Errorf("queues: %q; want those of the port", queues)
		}
	})
}

// A profile is begun once; what was begun before the program's end is there at the stop; a program's own is left alone.
func TestProfile(t *testing.T) {
	start(t, func(t *testing.T, a *asker) {
		if _, why := a.ask("1 more"); why != "nothing was begun" {
			t.Errorf("more: %q", why)
		}
		a.must("1 profile", "")
		if _, why := a.ask("1 profile"); !strings.Contains(why, "already") {
			t.Errorf("a second profile: %q", why)
		}
		if got := a.must("1 more", ""); len(got) != 24 || got[0] != 3 || got[16] != 100 {
			t.Errorf("more: %q; want a record with the rate", got)
		}
		a.must("1 stop", "")
		a.must("1 stop", "")
		if !wiring.StartProfile(50) {
			t.Error("the program cannot take a profile afterwards")
		}
		if _, why := a.ask("1 profile"); why != "the program itself takes a CPU profile" {
			t.Errorf("profile of a program that takes one: %q", why)
		}
	})
}

func TestRefusals(t *testing.T) {
	start(t, func(t *testing.T, a *asker) {
		for line, want := range map[string]string{
			"":                              "version 1",
			"2 stacks":                      "version 1",
			"1":                             "unknown question \"\"",
			"1 dance":                       "unknown question \"dance\"",
			strings.Repeat("x", 1000):       "version 1",
			"1 " + strings.Repeat("x", 500): "unknown question",
			"1 read":                        "not for the host to read",
			"1 read /etc/passwd":            "not for the host to read",
			"1 read /proc/1/net/../fd":      "not for the host to read",
			"1 read /proc/1/net/tcp":        "no such file or directory",
			"1 read /proc/1/net/..":         "", // a folder, or nothing
		} {
			if _, why := a.ask(line); !strings.Contains(why, want) || why == "" {
				t.Errorf("%q: %q; want %q", line, why, want)
			}
		}
	})
}

// A host that sends anything gets answers, and the next question has its own.
func TestRubbish(t *testing.T) {
	start(t, func(t *testing.T, a *asker) {
		r := rand.New(rand.NewPCG(1, 2))
		b := make([]byte, 20<<10)
		for i := range b {
			if b[i] = byte(r.Uint32()); b[i]%64 == 0 {
				b[i] = '\n'
			}
		}
		a.send(string(b) + "\n")
		a.must("1 stacks", "goroutine ")
	})
}
