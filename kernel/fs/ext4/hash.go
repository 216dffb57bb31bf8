package ext4

import "math/bits"

// These are the hashes of names in directory indexes (ext4 docs: "Hash Tree Directories").
const (
	hashLegacy  = 0
	hashHalfMD4 = 1
	hashTea     = 2
	hashEnd     = 0x7fffffff << 1 // no name has this hash
)

// nameHash computes a name's hash. Versions 3 to 5 are 0 to 2 with unsigned characters.
// ok is false for an unknown version.
func nameHash(version uint8, seed [4]uint32, name string) (h uint32, ok bool) {
	unsigned := version >= 3
	if unsigned {
		version -= 3
	}
	state := [4]uint32{0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476}
	if seed != [4]uint32{} {
		state = seed
	}
	switch version {
	case hashLegacy:
		h = legacyHash(name, unsigned)
	case hashHalfMD4:
		var in [8]uint32
		for p := name; len(p) > 0; p = p[min(len(p), 32):] {
			hashWords(in[:], p, unsigned)
			halfMD4(&state, &in)
		}
		h = state[1]
	case hashTea:
		var in [4]uint32
		for p := name; len(p) > 0; p = p[min(len(p), 16):] {
			hashWords(in[:], p, unsigned)
			tea(&state, &in)
		}
		h = state[0]
	default:
		return 0, false
	}
	h &^= 1
	if h == hashEnd {
		h = (0x7fffffff - 1) << 1
	}
	return h, true
}

func hashChar(c byte, unsigned bool) uint32 {
	if unsigned {
		return uint32(c)
	}
	return uint32(int32(int8(c)))
}

func legacyHash(name string, unsigned bool) uint32 {
	h0, h1 := uint32(0x12a3fe2d), uint32(0x37abe8f9)
	for k := range len(name) {
		h := h1 + (h0 ^ hashChar(name[k], unsigned)*7152373)
		if h&0x80000000 != 0 {
			h -= 0x7fffffff
		}
		h1, h0 = h0, h
	}
	return h0 << 1
}

// hashWords packs the start of a name into words and pads them with its length.
func hashWords(out []uint32, name string, unsigned bool) {
	pad := uint32(len(name)) | uint32(len(name))<<8
	pad |= pad << 16
	n := min(len(name), 4*len(out))
	val, k := pad, 0
	for c := range n {
		val = hashChar(name[c], unsigned) + val<<8
		if c%4 == 3 {
			out[k], val = val, pad
			k++
		}
	}
	if k < len(out) {
		out[k] = val
		k++
	}
	for ; k < len(out); k++ {
		out[k] = pad
	}
}

func halfMD4(s *[4]uint32, in *[8]uint32) {
	const k2, k3 = 0x5a827999, 0x6ed9eba1
	f := func(x, y, z uint32) uint32 { return z ^ x&(y^z) }
	g := func(x, y, z uint32) uint32 { return x&y + (x^y)&z }
	h := func(x, y, z uint32) uint32 { return x ^ y ^ z }
	a, b, c, d := s[0], s[1], s[2], s[3]
	round := func(fn func(x, y, z uint32) uint32, add uint32, order [8]int, shift [4]int) {
		for k := 0; k < 8; k += 4 {
			a = bits.RotateLeft32(a+fn(b, c, d)+in[order[k]]+add, shift[0])
			d = bits.RotateLeft32(d+fn(a, b, c)+in[order[k+1]]+add, shift[1])
			c = bits.RotateLeft32(c+fn(d, a, b)+in[order[k+2]]+add, shift[2])
			b = bits.RotateLeft32(b+fn(c, d, a)+in[order[k+3]]+add, shift[3])
		}
	}
	round(f, 0, [8]int{0, 1, 2, 3, 4, 5, 6, 7}, [4]int{3, 7, 11, 19})
	round(g, k2, [8]int{1, 3, 5, 7, 0, 2, 4, 6}, [4]int{3, 5, 9, 13})
	round(h, k3, [8]int{3, 7, 2, 6, 1, 5, 0, 4}, [4]int{3, 9, 11, 15})
	s[0], s[1], s[2], s[3] = s[0]+a, s[1]+b, s[2]+c, s[3]+d
}

func tea(s *[4]uint32, in *[4]uint32) {
	b0, b1, sum := s[0], s[1], uint32(0)
	for range 16 {
		sum += 0x9e3779b9
		b0 += (b1<<4 + in[0]) ^ (b1 + sum) ^ (b1>>5 + in[1])
		b1 += (b0<<4 + in[2]) ^ (b0 + sum) ^ (b0>>5 + in[3])
	}
	s[0], s[1] = s[0]+b0, s[1]+b1
}
