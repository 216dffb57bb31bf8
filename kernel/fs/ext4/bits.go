package ext4

import "math/bits"

// Bitmaps are little-endian words; bit 0 is the lowest of byte 0.

func bitSet(b []byte, k uint32) bool { return b[k>>3]&(1<<(k&7)) != 0 }

func setBits(b []byte, k, n uint32) {
	for ; n > 0 && k&7 != 0; k, n = k+1, n-1 {
		b[k>>3] |= 1 << (k & 7)
	}
	for ; n >= 8; k, n = k+8, n-8 {
		b[k>>3] = 0xff
	}
	for ; n > 0; k, n = k+1, n-1 {
		b[k>>3] |= 1 << (k & 7)
	}
}

func clearBits(b []byte, k, n uint32) {
	for ; n > 0 && k&7 != 0; k, n = k+1, n-1 {
		b[k>>3] &^= 1 << (k & 7)
	}
	for ; n >= 8; k, n = k+8, n-8 {
		b[k>>3] = 0
	}
	for ; n > 0; k, n = k+1, n-1 {
		b[k>>3] &^= 1 << (k & 7)
	}
}

// nextBit finds the first bit from k up to end that is clear, if flip is all ones, or set,
// if flip is 0. It returns end if there is none.
func nextBit(b []byte, k, end uint32, flip uint64) uint32 {
	for k < end {
		w := (le.Uint64(b[k>>6<<3:]) ^ flip) >> (k & 63)
		if w != 0 {
			return min(end, k+uint32(bits.TrailingZeros64(w)))
		}
		k = (k | 63) + 1
	}
	return end
}

func nextZero(b []byte, k, end uint32) uint32 { return nextBit(b, k, end, ^uint64(0)) }
func nextOne(b []byte, k, end uint32) uint32  { return nextBit(b, k, end, 0) }

func allClear(b []byte, k, n uint32) bool { return nextOne(b, k, k+n) == k+n }
func allSet(b []byte, k, n uint32) bool   { return nextZero(b, k, k+n) == k+n }

// countZero counts clear bits below end.
func countZero(b []byte, end uint32) (n uint32) {
	for k := uint32(0); k < end; k += 64 {
		w := ^le.Uint64(b[k>>3:])
		if end-k < 64 {
			w &= 1<<(end-k) - 1
		}
		n += uint32(bits.OnesCount64(w))
	}
	return n
}

// findRun finds the first run of want clear bits from k up to end; if there is none, it
// finds the longest run.
func findRun(b []byte, k, end, want uint32) (at, n uint32) {
	for k < end {
		z := nextZero(b, k, end)
		if z == end {
			break
		}
		o := nextOne(b, z, min(end, z+want))
		if o-z > n {
			at, n = z, o-z
			if n >= want {
				break
			}
		}
		k = o
	}
	return at, n
}
