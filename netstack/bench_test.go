package netstack

import (
	"syscall"
	"testing"

	"github.com/yolk-unikernel/yolk/kernel"
)

// BenchmarkNew is the network's part of a machine's boot. Count instructions with
//
//	go test -c -o /tmp/ns.test . && perf stat -e instructions:u /tmp/ns.test -test.run - -test.bench New -test.benchtime 1000x
func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		New(Config{}).Close()
	}
}

// idleNIC drops frames.
type idleNIC struct{}

func (idleNIC) Info() NICInfo      { return NICInfo{MAC: [6]byte{0x52, 0x54, 0, 0, 0, 1}} }
func (idleNIC) Start(*Link)        {}
func (idleNIC) Send(f *Frame) bool { f.Done(); return true }
func (idleNIC) Kick()              {}

func BenchmarkNewWithNIC(b *testing.B) {
	for b.Loop() {
		s := New(Config{})
		if _, e := s.AddNIC(idleNIC{}, "eth0"); e != 0 {
			b.Fatal(e)
		}
		s.Close()
	}
}

// BenchmarkRequest is one small request and its answer over a wire; both stacks are measured.
func BenchmarkRequest(b *testing.B) {
	x, y, _, _ := wiredPair(b, 256, NICInfo{})
	c, s := across(b, x, y, syscall.AF_INET, "10.0.0.2:80")
	go func() {
		buf := make([]byte, 4096)
		for {
			n, e := s.Read(buf, -1)
			switch {
			case e == syscall.EAGAIN:
				if !waited(s, kernel.EventIn) {
					return
				}
			case e != 0 || n == 0:
				return
			default:
				s.Write(buf[:n], -1)
			}
		}
	}()
	p := make([]byte, 200)
	buf := make([]byte, 4096)
	b.ReportAllocs()
	for b.Loop() {
		c.Write(p, -1)
		if _, e := read(b, c, buf); e != 0 {
			b.Fatal(e)
		}
	}
}

func BenchmarkBulk(b *testing.B) {
	for _, bc := range []struct {
		name string
		info NICInfo
	}{{"plain", NICInfo{}}, {"segmentation", NICInfo{TSO4: true, TSO6: true}}} {
		b.Run(bc.name, func(b *testing.B) {
			x, y, _, _ := wiredPair(b, 256, bc.info)
			c, s := across(b, x, y, syscall.AF_INET, "10.0.0.2:80")
			chunk := make([]byte, 64<<10)
			go func() {
				for i := 0; i < b.N; i++ {
					writeAll(b, c, chunk)
				}
			}()
			b.SetBytes(int64(len(chunk)))
			buf := make([]byte, 64<<10)
			for left := b.N * len(chunk); left > 0; {
				n, e := read(b, s, buf)
				if e != 0 || n == 0 {
					b.Fatalf("read = %d, %v", n, e)
				}
				left -= n
			}
		})
	}
}
