package net

// Header is the meta data of a packet, struct virtio_net_hdr (§5.1.6).
type Header struct {
	Flags          uint8
	GSO            uint8
	HeaderLen      uint16 // GSO: length of the headers before the payload (a hint)
	SegmentSize    uint16 // GSO: payload bytes of each packet (MSS)
	ChecksumStart  uint16 // NeedsChecksum: where the sum begins
	ChecksumOffset uint16 // NeedsChecksum: where it goes, from ChecksumStart
}

// Header.Flags.
const (
	NeedsChecksum = 1 // the checksum field holds only the pseudo header's sum
	DataValid     = 2 // received: the device has verified the checksum
)

// Header.GSO.
const (
	GSONone  = 0
	GSOTCPv4 = 1
	GSOTCPv6 = 4
	GSOECN   = 0x80 // or'ed in: the segment has CWR set
)

// headerSize is with num_buffers at the end, as in all but legacy devices
// without mergeable buffers. headerStride keeps headers from straddling a page.
const (
	headerSize   = 12
	headerStride = 16
)

func get16(b []byte) uint16    { return uint16(b[0]) | uint16(b[1])<<8 }
func put16(b []byte, v uint16) { b[0], b[1] = byte(v), byte(v>>8) }

// put writes h to b, at least 10 bytes.
func (h *Header) put(b []byte) {
	_ = b[9]
	b[0], b[1] = h.Flags, h.GSO
	put16(b[2:], h.HeaderLen)
	put16(b[4:], h.SegmentSize)
	put16(b[6:], h.ChecksumStart)
	put16(b[8:], h.ChecksumOffset)
}

func (h *Header) get(b []byte) {
	_ = b[9]
	h.Flags, h.GSO = b[0], b[1]
	h.HeaderLen = get16(b[2:])
	h.SegmentSize = get16(b[4:])
	h.ChecksumStart = get16(b[6:])
	h.ChecksumOffset = get16(b[8:])
}

// plausible reports whether a received header makes sense for a packet of n
// bytes under the negotiated offloads. A packet that fails this is dropped: it
// may come from another machine through a device that only passes it on.
func (h *Header) plausible(n int, o Offloads) bool {
	if h.Flags&NeedsChecksum != 0 {
		if !o.RxChecksum || int(h.ChecksumStart)+int(h.ChecksumOffset)+2 > n {
			return false
		}
	}
	switch h.GSO &^ GSOECN {
	case GSONone:
		return true
	case GSOTCPv4:
		return o.RxTSO4 && h.SegmentSize > 0
	case GSOTCPv6:
		return o.RxTSO6 && h.SegmentSize > 0
	}
	return false
}
