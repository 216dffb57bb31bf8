package netcalls

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// The tests here are of what Linux cannot be asked in a namespace of its own, or does otherwise.

// A card is in the files of /proc and /sys as long as it is there.
func TestTunFiles(t *testing.T) {
	m, w := onlyMachine(t)
	shown := func() (n int) {
		dev, _ := m.ReadFile("/proc/net/dev")
		n = strings.Count(dev, "tap7:")
		if _, e := m.Open("/sys/class/net/tap7", syscall.O_RDONLY); e == 0 {
			n++
		}
		return n
	}
	if n := shown(); n != 0 {
		t.Errorf("%d of 2 files show a card that is not there", n)
	}
	fd := w.tun("tap7", iffTap|iffNoPI)
	w.up(2)
	for name, want := range map[string]string{
		"type": "1", "mtu": "1500", "tx_queue_len": "1000", "operstate": "unknown", "carrier": "1", "ifindex": "2", "addr_len": "6",
	} {
		m.WantFile("/sys/class/net/tap7/"+name, want+"\n")
	}
	if text, _ := m.ReadFile("/sys/class/net/tap7/address"); len(text) != len("02:00:00:00:00:00\n") || text == "00:00:00:00:00:00\n" {
		t.Errorf("the address is %q", text)
	}
	w.must(syscall.SYS_WRITE, fd, make([]byte, 60), 60)
	if got, _ := m.ReadFile("/sys/class/net/tap7/statistics/rx_bytes"); got != "60\n" {
		t.Errorf("received bytes %q; want 60", got)
	}
	if n := shown(); n != 2 {
		t.Errorf("%d of 2 files show the card", n)
	}
	w.must(syscall.SYS_IOCTL, fd, tunSetCarrier, le32(0))
	m.WantFile("/sys/class/net/tap7/carrier", "0\n")
	m.WantFile("/sys/class/net/tap7/operstate", "down\n")
	w.must(syscall.SYS_IOCTL, fd, tunSetCarrier, le32(1))
	m.WantFile("/sys/class/net/tap7/operstate", "unknown\n")
	w.must(syscall.SYS_CLOSE, fd)
	if n := shown(); n != 0 {
		t.Errorf("%d of 2 files show a card that is gone", n)
	}
}

// A read of a file without O_NONBLOCK waits for a frame, and ends when the card is removed.
func TestTunBlocks(t *testing.T) {
	m, w := onlyMachine(t)
	fd := w.open(0)
	w.ifreq("make", fd, tunSetInterface, "t", le16(iffTun|iffNoPI)...)
	w.up(2)
	w.address("address", create, 2, "10.1.0.1", 24)
	type result struct {
		n int
		e syscall.Errno
	}
	read := make(chan result)
	go func() {
		for b := make([]byte, 2000); ; {
			n, e := m.Call(syscall.SYS_READ, fd, b, len(b))
			if e == 0 && b[0]>>4 != 4 {
				continue // the stack's own, of IPv6
			}
			read <- result{n, e}
			if e != 0 {
				return
			}
		}
	}()
	s := w.must(syscall.SYS_SOCKET, in4, syscall.SOCK_DGRAM, 0)
	to := append(le16(in4), 0, 9, 10, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0)
	for range 3 {
		w.must(syscall.SYS_SENDTO, s, make([]byte, 72), 72, 0, to, len(to))
		if got := <-read; got != (result{100, 0}) {
			t.Errorf("read: %+v; want 100 bytes", got)
		}
	}
	w.set("remove", syscall.RTM_DELLINK, 0, linkHeader(2, 0, 0))
	if got := <-read; got.e != syscall.EBADFD {
		t.Errorf("read of a card that is gone: %v; want EBADFD", got.e)
	}
	if want := []string{"make: t 0110000000000000", "up: errno 0", "address: errno 0", "remove: errno 0"}; !slices.Equal(w.lines, want) {
		t.Errorf("%q; want %q", w.lines, want)
	}
}

// What a card has not is not among the features, and refused as by a Linux from before it had that.
func TestTunRefused(t *testing.T) {
	_, w := onlyMachine(t)
	fd := w.open(0)
	features := le32(0)
	w.must(syscall.SYS_IOCTL, fd, tunGetFeatures, features)
	if got := binary.NativeEndian.Uint32(features); got != iffTun|iffTap|iffNoPI|iffHeader|iffOneQueue {
		t.Errorf("features %#x", got)
	}
	for _, flag := range []int{iffMultiQueue, iffNAPI, iffNAPI | iffNAPIFrags} {
		w.ifreq(fmt.Sprintf("flags %#x", flag), fd, tunSetInterface, "t", le16(iffTun|flag)...)
	}
	w.ifreq("none of them", fd, tunSetInterface, "t", le16(iffTun|iffHeader|iffNoPI)...)
	for _, offload := range []int{0x11, 0x27, 0x47} { // TUN_F_UFO, TUN_F_USO4, TUN_F_USO6 beside others
		w.do(fmt.Sprintf("offload %#x", offload), syscall.SYS_IOCTL, fd, tunSetOffload, offload)
	}
	want := []string{"flags 0x100: invalid argument", "flags 0x10: invalid argument", "flags 0x30: invalid argument", "none of them: t 0150000000000000",
		"offload 0x11: invalid argument", "offload 0x27: invalid argument", "offload 0x47: invalid argument"}
	if !slices.Equal(w.lines, want) {
		t.Errorf("%q; want %q", w.lines, want)
	}
}
