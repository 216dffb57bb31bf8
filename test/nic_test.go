package test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/yolk-unikernel/yolk/test/internal/vm"
)

// numbered returns frame i of a seed: a header, the number, noise, and a sum of them.
func numbered(seed, i uint32) []byte {
	r := rand.New(rand.NewPCG(uint64(seed), uint64(i)))
	b := make([]byte, 60+r.IntN(1514-60+1))
	binary.BigEndian.PutUint16(b[12:], 0x88b5) // for local experiments (IEEE 802)
	binary.BigEndian.PutUint32(b[14:], i)
	for k := 18; k+8 <= len(b)-4; k += 8 {
		binary.LittleEndian.PutUint64(b[k:], r.Uint64())
	}
	binary.BigEndian.PutUint32(b[len(b)-4:], crc32.ChecksumIEEE(b[:len(b)-4]))
	return b
}

// pass sends n numbered frames into one cable and checks that they come out of the
// other, each once, in order and unchanged. No more than window of them are under way.
func pass(in, out *vm.Cable, seed uint32, n int) error {
	const window = 48 // fits in the receive buffer of QEMU's socket
	tokens := make(chan struct{}, window)
	failed := make(chan struct{})
	defer close(failed)
	sent := make(chan error, 1)
	go func() {
		for i := range n {
			select {
			case tokens <- struct{}{}:
			case <-failed:
				return
			}
			if _, err := in.Write(numbered(seed, uint32(i))); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	b := make([]byte, 65536)
	for i := range n {
		out.SetReadDeadline(time.Now().Add(time.Minute))
		got, err := out.Read(b)
		if err != nil {
			return fmt.Errorf("frame %d of %d did not come: %w", i, n, err)
		}
		if want := numbered(seed, uint32(i)); !bytes.Equal(b[:got], want) {
			return fmt.Errorf("frame %d of %d: %d bytes came with number %d; want %d bytes as they were sent",
				i, n, got, binary.BigEndian.Uint32(b[14:]), len(want))
		}
		<-tokens
	}
	return <-sent
}

// A program without a stack passes frames between two cards: 100,000 of all sizes, in both
// directions at once, none of them lost or changed.
func TestForward(t *testing.T) {
	t.Parallel()
	a, b := vm.NewCable(t), vm.NewCable(t)
	m := vm.Start(t, vm.Options{Flags: []string{"-net", a.Flag, "-net", b.Flag, "-m", "32M"}, Target: "./examples/forward"})
	m.WaitFor("forwarding")
	begin := time.Now()
	back := make(chan error)
	go func() { back <- pass(b, a, 2, 50_000) }()
	if err := pass(a, b, 1, 50_000); err != nil {
		t.Errorf("first to second card: %v", err)
	}
	if err := <-back; err != nil {
		t.Errorf("second to first card: %v", err)
	}
	t.Logf("100,000 frames in %v", time.Since(begin))
}

// The image of a program that does not import package net has no TCP/IP stack.
func TestForwardHasNoStack(t *testing.T) {
	t.Parallel()
	for target, want := range map[string]bool{"./examples/forward": false, "./examples/web": true} {
		out := filepath.Join(t.TempDir(), "app.elf")
		if got := vm.Yolk(t, vm.Options{}, "build", "-o", out, target); got.Status != 0 {
			t.Fatalf("yolk build %s: %+v", target, got)
		}
		image, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"gvisor/tcpip", "runtime/yolk/netstack.", "runtime/yolk/wiring/net."} {
			if got := bytes.Contains(image, []byte(name)); got != want { // in the runtime's table of functions
				t.Errorf("%s names %s: %v; want %v", target, name, got, want)
			}
		}
	}
}

// A program takes cards from the stack, which continues with the others.
func TestTakeNIC(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := vm.NewCable(t)
	go func() {
		b := make([]byte, 65536)
		for {
			n, err := c.Read(b)
			if err != nil {
				return
			}
			c.Write(b[:n])
		}
	}()
	for _, machine := range []string{"microvm", "q35"} {
		got := vm.Run(t, vm.Options{
			Flags:  []string{"-machine", machine, "-net", "user:host-loopback", "-net", c.Flag, "-ip", "10.0.2.15/24,gw=10.0.2.2"},
			Target: "./test/testdata/nic", Args: []string{fmt.Sprintf("10.0.2.2:%d", l.Addr().(*net.TCPAddr).Port)},
		})
		wantOutput(t, got, 0,
			`at first: lo eth0 eth1, eth0 "stack", eth1 "stack"`,
			`without eth1: lo eth0, eth0 "stack", eth1 "program"`,
			"eth1: came back: true\nover eth0: connected\n",
			`without eth0: lo, eth0 "program", eth1 "program"`,
			"without a card: dial tcp 10.0.2.2:", "network is unreachable",
			"open eth0: the network card is open already\neth1: came back: true\n")
	}
}
