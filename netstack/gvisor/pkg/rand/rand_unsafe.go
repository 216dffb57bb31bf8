// Package rand replaces gVisor's pkg/rand: cryptographically secure random numbers from
// getrandom(2), without golang.org/x/sys.
package rand

import (
	"encoding/binary"
	"io"
	"syscall"
	"unsafe"
)

// Reader is the system's generator.
var Reader io.Reader = reader{}

type reader struct{}

const sysGetrandom = 318 // Linux, x86-64

// grndInsecure is GRND_INSECURE: packages draw from here when they initialise, and a machine
// without a source of randomness is to start all the same. What they draw spreads packets over
// buckets; secrets come from the stack's own source.
const grndInsecure = 4

// Read fills p.
func (reader) Read(p []byte) (int, error) {
	for n := 0; n < len(p); {
		got, _, e := syscall.Syscall(sysGetrandom, uintptr(unsafe.Pointer(&p[n])), uintptr(len(p)-n), grndInsecure)
		if e != 0 && e != syscall.EINTR {
			return n, e
		}
		if e == 0 {
			n += int(got)
		}
	}
	return len(p), nil
}

// Read fills p from Reader.
func Read(p []byte) (int, error) { return io.ReadFull(Reader, p) }

// RNG makes random numbers from a secure source.
type RNG struct{ Reader io.Reader }

// RNGFrom returns an RNG over r.
func RNGFrom(r io.Reader) RNG { return RNG{Reader: r} }

// fill panics if the source fails: secrets could not be made then.
func (g *RNG) fill(p []byte) {
	if _, err := io.ReadFull(g.Reader, p); err != nil {
		panic("rand: " + err.Error())
	}
}

// Uint16 returns 16 random bits.
func (g *RNG) Uint16() uint16 {
	var b [2]byte
	g.fill(b[:])
	return binary.NativeEndian.Uint16(b[:])
}

// Uint32 returns 32 random bits.
func (g *RNG) Uint32() uint32 {
	var b [4]byte
	g.fill(b[:])
	return binary.NativeEndian.Uint32(b[:])
}

// Uint64 returns 64 random bits.
func (g *RNG) Uint64() uint64 {
	var b [8]byte
	g.fill(b[:])
	return binary.NativeEndian.Uint64(b[:])
}

// Int63 returns 63 random bits.
func (g *RNG) Int63() int64 { return int64(g.Uint64() >> 1) }

// Int63n returns a number in [0, n), each equally likely.
func (g *RNG) Int63n(n int64) int64 {
	if n <= 0 {
		panic("rand: Int63n of a number that is not positive")
	}
	// Numbers from limit on would make small results more likely.
	limit := uint64(1<<63) - uint64(1<<63)%uint64(n)
	for {
		if v := uint64(g.Int63()); v < limit {
			return int64(v % uint64(n))
		}
	}
}
