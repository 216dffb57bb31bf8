package test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/yolk-unikernel/yolk/test/internal/vm"
)

const resumeProg = "./test/testdata/resume"

// resumable is a machine that is saved, or goes on from a saved state.
type resumable struct {
	*vm.VM
	t       *testing.T
	in      io.Writer
	monitor string // path of a socket
	peer    *peer
}

// startResumable boots the program, or lets it go on from a state that was saved with the same
// flags.
func startResumable(t *testing.T, state string, flags ...string) *resumable {
	t.Helper()
	dir, err := os.MkdirTemp("", "resume") // short, and without the commas of a test's name
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	os.Chmod(dir, 0o777) // QEMU may have become another user
	r := &resumable{t: t, monitor: filepath.Join(dir, "s"), peer: newPeer(t)}
	flags = append(flags, "-m", "64M", "-net", r.peer.Flag, "-ip", "10.9.0.2/24,gw=10.9.0.1,dns=10.9.0.1",
		"-qemu-arg", "-qmp", "-qemu-arg", "unix:"+r.monitor+",server=on,wait=off")
	saved := filepath.Join(dir, "i") // QEMU may start no process that would pass the state on
	if state != "" {
		flags = append(flags, "-qemu-arg", "-incoming", "-qemu-arg", "unix:"+saved)
	}
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); out.Close() })
	r.in = out
	r.VM = vm.Start(t, vm.Options{Flags: flags, Target: resumeProg, Stdin: in})
	if state != "" {
		r.load(state, saved)
	}
	return r
}

// load passes a saved state to QEMU, which waits for it at a socket.
func (r *resumable) load(state, socket string) {
	r.t.Helper()
	f, err := os.Open(state)
	if err != nil {
		r.t.Fatal(err)
	}
	defer f.Close()
	var c net.Conn
	r.Eventually(func() (err error) { c, err = net.Dial("unix", socket); return err })
	defer c.Close()
	if _, err := io.Copy(c, f); err != nil {
		r.t.Fatal(err)
	}
}

// save writes the machine's state to a file and ends it.
func (r *resumable) save() (state string) {
	r.t.Helper()
	dir := filepath.Dir(r.monitor)
	state = filepath.Join(dir, "state")
	f, err := os.Create(state)
	if err != nil {
		r.t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "o"))
	if err != nil {
		r.t.Fatal(err)
	}
	defer l.Close()
	os.Chmod(filepath.Join(dir, "o"), 0o777)
	copied := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			_, err = io.Copy(f, c)
		}
		copied <- errors.Join(err, f.Close())
	}()
	m := dialMonitor(r.t, r.VM, r.monitor)
	m.do("migrate", map[string]any{"uri": "unix:" + filepath.Join(dir, "o")})
	r.Eventually(func() error {
		answer := m.do("query-migrate", nil).(map[string]any)
		switch answer["status"] {
		case "completed":
			return nil
		case "failed":
			r.t.Fatalf("saving the state: %v", answer)
		}
		return fmt.Errorf("saving the state: %v", answer)
	})
	r.Kill()
	if err := <-copied; err != nil {
		r.t.Fatal(err)
	}
	return state
}

// drawn is what the program has told for one line.
type drawn struct {
	math, crypto string
	wall         time.Time
}

var drawnLine = regexp.MustCompile(`math (\w+) crypto (\w+) wall (\d+)\n`)

// draw has the program tell n-th.
func (r *resumable) draw(line string, n int) drawn {
	r.t.Helper()
	if line != "" {
		io.WriteString(r.in, line+"\n")
	}
	r.WaitFor(" wall ") // a build may come before
	var found [][]string
	r.Eventually(func() error {
		if found = drawnLine.FindAllStringSubmatch(r.Stdout(), -1); len(found) < n {
			return fmt.Errorf("the program has told %d times; want %d", len(found), n)
		}
		return nil
	})
	f := found[n-1]
	ms, _ := strconv.ParseInt(f[3], 10, 64)
	return drawn{f[1], f[2], time.UnixMilli(ms)}
}

// peer is the other end of the machine's cable: it answers ARP for everybody, and keeps what
// TCP and DNS should not repeat.
type peer struct {
	*vm.Cable
	mu        sync.Mutex
	isn, dns  []uint32 // initial sequence numbers; ports and ids of queries
	announced bool     // the machine has said where its address is, unasked
}

func newPeer(t *testing.T) *peer {
	p := &peer{Cable: vm.NewCable(t)}
	go func() {
		b := make([]byte, 65536)
		for {
			n, err := p.Read(b)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				p.take(b[:n])
			}
		}
	}()
	return p
}

// Offsets in an Ethernet frame (RFC 826, RFC 791 without options, RFC 9293, RFC 768, RFC 1035).
const (
	etherType = 12
	arpTarget = 38
	ipProto   = 23
	l4        = 34
)

func (p *peer) take(frame []byte) {
	if len(frame) < 42 {
		return
	}
	switch be := binary.BigEndian; {
	case be.Uint16(frame[etherType:]) == 0x0806 && string(frame[28:32]) == string(frame[arpTarget:42]):
		p.mu.Lock()
		p.announced = true
		p.mu.Unlock()
	case be.Uint16(frame[etherType:]) == 0x0806 && be.Uint16(frame[20:]) == 1:
		p.Write(arpReply(frame))
	case be.Uint16(frame[etherType:]) != 0x0800:
	case len(frame) < l4+20:
	case frame[ipProto] == 6 && frame[l4+13] == 2: // SYN
		p.keep(&p.isn, be.Uint32(frame[l4+4:]))
	case frame[ipProto] == 17 && be.Uint16(frame[l4+2:]) == 53:
		p.keep(&p.dns, uint32(be.Uint16(frame[l4:]))<<16|uint32(be.Uint16(frame[l4+8:])))
	}
}

// arpReply answers for the address that is asked for.
func arpReply(request []byte) []byte {
	own := []byte{0x52, 0x54, 0, 9, 0, 1}
	b := append([]byte(nil), request[6:12]...)
	b = append(append(b, own...), request[12:20]...)
	b = append(b, 0, 2)
	b = append(append(b, own...), request[38:42]...)
	return append(b, request[22:32]...)
}

func (p *peer) keep(list *[]uint32, v uint32) {
	p.mu.Lock()
	*list = append(*list, v)
	p.mu.Unlock()
}

func (p *peer) wasAnnounced() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.announced {
		return errors.New("the machine has not announced its address")
	}
	return nil
}

// first returns the first initial sequence number, and port and id of the first query.
func (p *peer) first() (isn, dns uint32, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.isn) == 0 || len(p.dns) == 0 {
		return 0, 0, fmt.Errorf("%d SYNs and %d queries came; want some", len(p.isn), len(p.dns))
	}
	return p.isn[0], p.dns[0], nil
}

// noRDRAND is a CPU without a generator.
var noRDRAND = []string{"-qemu-arg", "-cpu", "-qemu-arg", "max,-rdrand,-rdseed"}

// Machines that go on from one saved state draw different numbers, from the first on, know what
// time it is, and tell the program and their neighbours.
func TestResume(t *testing.T) {
	for _, machine := range []string{"microvm", "q35"} {
		t.Run(machine, func(t *testing.T) {
			t.Parallel()
			testResume(t, "-machine", machine)
		})
		t.Run(machine+" without RDRAND", func(t *testing.T) {
			t.Parallel()
			testResume(t, append(noRDRAND, "-machine", machine, "-smp", "2")...)
		})
	}
}

func testResume(t *testing.T, flags ...string) {
	first := startResumable(t, "", flags...)
	first.draw("", 1)
	state := first.save()
	generation := slices.Contains(flags, "q35") // the machine has VMGenID
	if !generation {
		time.Sleep(4 * time.Second) // the real-time clock tells, in seconds
	}
	seen := map[string]int{}
	note := func(what, v string, i int) {
		if other, ok := seen[what+v]; ok {
			t.Errorf("machines %d and %d have the same %s: %s", other, i, what, v)
		}
		seen[what+v] = i
	}
	for i := range 3 {
		r := startResumable(t, state, flags...)
		if generation {
			r.WaitFor("resumed\n") // it interrupts; a microvm waits for the next interrupt
		}
		d := r.draw("draw", 1)
		note("math/rand number", d.math, i)
		note("key", d.crypto, i)
		if late := time.Since(d.wall); late > 3*time.Second || late < -3*time.Second {
			t.Errorf("machine %d: the wall clock is %v late", i, late)
		}
		r.draw("net", 2)
		var isn, dns uint32
		r.Eventually(func() (err error) { isn, dns, err = r.peer.first(); return err })
		note("initial sequence number", fmt.Sprint(isn), i)
		note("DNS query's port and id", fmt.Sprintf("%#x", dns), i)
		r.WaitFor("resumed\n")
		r.Eventually(r.peer.wasAnnounced)
		r.Kill()
	}
}

// The sources of randomness are cut off one by one.
func TestRandomSources(t *testing.T) {
	const all = "key: yes\nnonblock: yes\ninsecure: yes\nurandom: 16 <nil>\n"
	for _, machine := range []string{"microvm", "q35"} {
		for _, tt := range []struct {
			name        string
			rdrand, rng bool
			want        string
		}{
			{"both", true, true, all},
			{"virtio-rng", false, true, all},
			{"RDRAND", true, false, all},
			{"neither", false, false, "key: waits\nnonblock: EAGAIN\ninsecure: yes\nurandom: 16 <nil>\n"},
		} {
			t.Run(machine+" "+tt.name, func(t *testing.T) {
				t.Parallel()
				flags := []string{"run", "-n", "-accel", "tcg", "-machine", machine, "-net", "none"}
				if !tt.rdrand {
					flags = append(flags, noRDRAND...)
				}
				line := vm.Yolk(t, vm.Options{}, append(flags, resumeProg, "sources")...).Stdout
				if !tt.rng {
					without := regexp.MustCompile(`-device '?virtio-rng-[^ ]*`).ReplaceAllString(line, "")
					if without == line {
						t.Fatalf("no virtio-rng in %s", line)
					}
					line = without
				}
				out := runShell(t, line)
				told := strings.Count(out, "yolk: no source of random numbers")
				if got := withoutLog(out); got != tt.want || (told == 1) == (tt.rdrand || tt.rng) {
					t.Errorf("output %q; want %q, and the missing source told once: %v", out, tt.want, !tt.rdrand && !tt.rng)
				}
			})
		}
	}
}

// runShell runs a command line and returns its standard output.
func runShell(t *testing.T, line string) string {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", "exec "+line)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.Output()
	if ctx.Err() != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
	return string(out)
}

// withoutLog returns a console's text without lines of the kernel.
func withoutLog(s string) string {
	return regexp.MustCompile(`(?m)^yolk: .*\n`).ReplaceAllString(strings.ReplaceAll(s, "\r", ""), "")
}
