package bpf

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"syscall"
	"testing"
	"unsafe"
)

// host is a pair of unix sockets of the host, of which one filters what the other sends.
type host struct{ filtered, sender int }

func newHost(t testing.TB) host {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Skip("no unix sockets on this host: ", err)
	}
	t.Cleanup(func() {
		syscall.Close(fds[0])
		syscall.Close(fds[1])
	})
	return host{fds[0], fds[1]}
}

func (h host) attach(filter []byte) syscall.Errno {
	fprog := struct {
		n      uint16
		filter *byte
	}{uint16(len(filter) / InstructionSize), unsafe.SliceData(filter)}
	_, _, e := syscall.Syscall6(syscall.SYS_SETSOCKOPT, uintptr(h.filtered), syscall.SOL_SOCKET, syscall.SO_ATTACH_FILTER,
		uintptr(unsafe.Pointer(&fprog)), unsafe.Sizeof(fprog), 0)
	runtime.KeepAlive(filter)
	return e
}

// run returns how many bytes of a packet the filter lets pass.
func (h host) run(t testing.TB, packet []byte) int {
	t.Helper()
	if _, err := syscall.Write(h.sender, packet); err != nil {
		t.Fatal(err)
	}
	n, err := syscall.Read(h.filtered, make([]byte, len(packet)+1))
	if err != nil {
		return 0
	}
	return n
}

// generate makes a program from random numbers that is nearly always one that Linux accepts.
func generate(r *rand.Rand) []byte {
	n := 1 + r.IntN(24)
	var b []byte
	add := func(code uint16, jt, jf byte, k uint32) {
		b = binary.NativeEndian.AppendUint16(b, code)
		b = binary.NativeEndian.AppendUint32(append(b, jt, jf), k)
	}
	for i := range n - 1 {
		after := n - i - 1
		k := [...]uint32{r.Uint32(), uint32(r.IntN(40)), uint32(r.IntN(16)), offsetNetwork + uint32(r.IntN(30)),
			offsetLink + uint32(r.IntN(30)), offsetMetadata + uint32(r.IntN(70)), uint32(r.IntN(5))}[r.IntN(7)]
		if k == offsetMetadata+dataCPU || k == offsetMetadata+dataRandom {
			k = offsetMetadata + dataXorX // these two differ from run to run
		}
		code := uint16(r.IntN(256))
		if r.IntN(200) == 0 {
			code = uint16(r.Uint32())
		} else {
			for !known(code) {
				code = uint16(r.IntN(256))
			}
		}
		switch {
		case r.IntN(50) == 0: // as it comes
		case code&7 == classRET && r.IntN(4) != 0:
			code = classMISC
		case code&7 == classST, code&7 == classSTX, code == loadMemA, code == loadMemX:
			k %= memoryWords
		case code == classJMP|jumpA:
			k = uint32(r.IntN(after))
		}
		jt, jf := byte(r.IntN(after)), byte(r.IntN(after))
		add(code, jt, jf, k)
	}
	add([...]uint16{retK, retA, retA, retA}[r.IntN(4)], 0, 0, uint32(r.IntN(60)))
	return b
}

// checkAgainst compares one program and packet with Linux. It returns whether it was accepted.
func checkAgainst(t testing.TB, h host, filter, packet []byte) bool {
	want := h.attach(filter)
	p, got := New(filter)
	if got != want {
		t.Fatalf("%s attached: %v; Linux: %v", disassemble(filter), got, want)
	}
	if got != 0 {
		return false
	}
	cut := len(packet) / 3
	pkt := &Packet{Parts: [][]byte{packet[:cut], nil, packet[cut:]}, Link: -1}
	if n, w := min(int(p.Run(pkt)), len(packet)), h.run(t, packet); n != w {
		t.Fatalf("%s\non %x lets %d bytes pass; on Linux %d", disassemble(filter), packet, n, w)
	}
	return true
}

func disassemble(filter []byte) (s string) {
	for i := 0; i < len(filter); i += InstructionSize {
		s += fmt.Sprintf("{%#x %d %d %#x} ", binary.NativeEndian.Uint16(filter[i:]), filter[i+2], filter[i+3], binary.NativeEndian.Uint32(filter[i+4:]))
	}
	return s
}

// Random programs are accepted and refused as on Linux, and let as much of a packet pass.
func TestProgramsAsOnLinux(t *testing.T) {
	h := newHost(t)
	r := rand.New(rand.NewPCG(1, 2))
	accepted, passed := 0, map[int]bool{}
	for range 60000 {
		packet := make([]byte, 1+r.IntN(60))
		for i := range packet {
			packet[i] = byte(r.IntN(4)) * byte(r.IntN(256))
		}
		filter := generate(r)
		if checkAgainst(t, h, filter, packet) {
			accepted++
			p, _ := New(filter)
			passed[min(int(p.Run(&Packet{Parts: [][]byte{packet}, Link: -1})), 60)] = true
		}
	}
	if accepted < 20000 || len(passed) < 30 {
		t.Errorf("%d programs were accepted, with %d results: the test sees too little", accepted, len(passed))
	}
}

// Every code, with every kind of constant, is accepted or refused as on Linux.
func TestCodesAsOnLinux(t *testing.T) {
	h := newHost(t)
	for code := range 0x300 {
		for _, k := range []uint32{0, 1, 4, 15, 16, 31, 32, 33, 0x7fffffff, offsetLink, offsetNetwork, offsetMetadata - 1, offsetMetadata + 3,
			offsetMetadata + dataVLANProtocol, offsetMetadata + MetadataEnd, 0xffffffff} {
			for _, jumps := range [][2]byte{{0, 0}, {1, 1}, {2, 0}, {0, 2}, {255, 0}} {
				b := binary.NativeEndian.AppendUint16(nil, uint16(code))
				b = binary.NativeEndian.AppendUint32(append(b, jumps[:]...), k)
				b = append(b, 4, 0, 0, 0, 1, 0, 0, 0) // A += 1
				ret := append(b, 6, 0, 0, 0, 9, 0, 0, 0)
				for _, filter := range [][]byte{ret, b} {
					_, got := New(filter)
					if want := h.attach(filter); got != want {
						t.Fatalf("%s attached: %v; Linux: %v", disassemble(filter), got, want)
					}
				}
			}
		}
	}
}

func TestSizesAsOnLinux(t *testing.T) {
	for _, n := range []int{0, 1, MaxInstructions - 1, MaxInstructions, MaxInstructions + 1} {
		filter := make([]byte, n*InstructionSize)
		for i := 0; i < n; i++ {
			filter[i*InstructionSize] = retK
		}
		_, got := New(filter)
		if want := newHost(t).attach(filter); got != want { // a new socket: that of before may hold too much
			t.Errorf("%d instructions: %v; Linux: %v", n, got, want)
		}
	}
}

func FuzzProgram(f *testing.F) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 20 {
		f.Add(generate(r), []byte("a packet of some bytes"), 14)
	}
	f.Fuzz(func(t *testing.T, filter, packet []byte, network int) {
		p, e := New(filter)
		if e != 0 {
			return
		}
		pkt := &Packet{Parts: [][]byte{packet}, Link: 0, Network: network % 100, Protocol: typeIPv6, Interface: 1}
		pkt.Start = max(pkt.Network, 0)
		p.Run(pkt) // must not panic
	})
}
