package ext4

import "hash/crc32"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// crc32c continues a checksum over p, without the inversions at both ends that package
// hash/crc32 adds: ext4's seeds are raw register values.
func crc32c(sum uint32, p []byte) uint32 {
	return ^crc32.Update(^sum, castagnoli, p)
}

func crc32c32(sum uint32, v uint32) uint32 {
	var b [4]byte
	le.PutUint32(b[:], v)
	return crc32c(sum, b[:])
}

func crc32c64(sum uint32, v uint64) uint32 {
	var b [8]byte
	le.PutUint64(b[:], v)
	return crc32c(sum, b[:])
}

// crc16 is the checksum of group descriptors with gdt_csum: polynomial 0x8005, reflected.
func crc16(sum uint16, p []byte) uint16 {
	for _, c := range p {
		sum ^= uint16(c)
		for range 8 {
			if sum&1 != 0 {
				sum = sum>>1 ^ 0xa001
			} else {
				sum >>= 1
			}
		}
	}
	return sum
}
