package virtio

import (
	"math"
	"unsafe"
)

// shared is the memory that driver and device both see. The 16-bit fields that
// both sides watch are accessed as aligned 32-bit words, flags and index
// together, because sync/atomic has no 16-bit operations: on a little-endian
// machine the index is the upper half.
type shared struct {
	mem        []byte // keeps the memory alive
	desc       []descriptor
	availHead  *uint32 // avail.flags, avail.idx: written by the driver
	ring       []uint16
	usedEvent  *uint32 // used_event and padding: written by the driver
	usedHead   *uint32 // used.flags, used.idx: written by the device
	elems      []usedElem
	availEvent *uint32 // avail_event and padding: written by the device
}

// descriptor is struct virtq_desc (§2.7.5).
type descriptor struct {
	addr  uint64
	len   uint32
	flags uint16
	next  uint16
}

const descSize = 16

// usedElem is struct virtq_used_elem (§2.7.8).
type usedElem struct {
	id, len uint32
}

// Layout of the rings: descriptors, then the available ring with used_event
// behind it, then the used ring with avail_event. The legacy interface
// prescribes exactly this, with the used ring on the next page (§2.7.2); the
// modern one only alignments of 16, 2 and 4. For both, two bytes follow each
// event field, so that it can be accessed as a 32-bit word; since 18n+6 is
// never a multiple of 4, these never push the used ring a page further.
func layout(size int, legacy bool) (avail, used, total int) {
	align := 64 // a cache line: the two sides write to different ones
	if legacy {
		align = PageSize
	}
	avail = descSize * size
	used = (avail + 4 + 2*size + 4 + align - 1) &^ (align - 1)
	return avail, used, used + 4 + 8*size + 4
}

// alloc places the rings in DMA memory. unsafe: the rings are C structures
// whose offsets layout computed from their size, within the one allocation.
func (s *shared) alloc(mem Memory, size int, legacy bool) (Rings, error) {
	avail, used, total := layout(size, legacy)
	b, phys, err := mem.Alloc(total)
	if err != nil {
		return Rings{}, err
	}
	b = b[:total]
	*s = shared{
		mem:        b,
		desc:       unsafe.Slice((*descriptor)(unsafe.Pointer(&b[0])), size),
		availHead:  word(b, avail),
		ring:       unsafe.Slice((*uint16)(unsafe.Pointer(&b[avail+4])), size),
		usedEvent:  word(b, avail+4+2*size),
		usedHead:   word(b, used),
		elems:      unsafe.Slice((*usedElem)(unsafe.Pointer(&b[used+4])), size),
		availEvent: word(b, used+4+8*size),
	}
	return Rings{Size: size, Desc: phys, Avail: phys + uint64(avail), Used: phys + uint64(used)}, nil
}

func word(b []byte, off int) *uint32 { return (*uint32)(unsafe.Pointer(&b[off : off+4][0])) }

// indirectTables are the indirect descriptor tables (§2.7.5.3), one for each
// head. They are allocated a page at a time when a head is first used: heads
// are taken from a stack, so a lightly loaded queue needs one page.
type indirectTables struct {
	mem     Memory
	entries int // of one table, a power of two
	perPage int // tables in a page
	pages   []tablePage
}

type tablePage struct {
	table []descriptor
	phys  uint64
}

func (t *indirectTables) init(mem Memory, size, entries int) {
	t.mem = mem
	t.entries = 1
	for t.entries < min(entries, indirectLimit) {
		t.entries *= 2
	}
	t.perPage = indirectLimit / t.entries
	t.pages = make([]tablePage, (size+t.perPage-1)/t.perPage)
}

// get returns the table of a head; nil if indirect descriptors were not
// negotiated or there is no memory.
func (t *indirectTables) get(head uint16) ([]descriptor, uint64) {
	if t.pages == nil {
		return nil, 0
	}
	p := &t.pages[int(head)/t.perPage]
	if p.table == nil {
		b, phys, err := t.mem.Alloc(PageSize)
		if err != nil {
			return nil, 0
		}
		p.table = unsafe.Slice((*descriptor)(unsafe.Pointer(&b[0])), PageSize/descSize)
		p.phys = phys
	}
	i := int(head) % t.perPage * t.entries
	return p.table[i : i+t.entries], p.phys + uint64(i)*descSize
}

// AppendSegments appends the physically contiguous pieces of buf to segs. buf
// must not lie on a goroutine's stack, which may move; that Phys is called
// through an interface makes the compiler see to it.
func AppendSegments(mem Memory, segs []Segment, buf []byte) []Segment {
	segs, _ = AppendSegmentsLimit(mem, segs, buf, SegmentLimit{len(segs), math.MaxInt, math.MaxUint32})
	return segs
}

// SegmentLimit is what a device takes of one list of segments.
type SegmentLimit struct {
	First int    // index of the first segment that may grow at its end
	Count int    // segments in all
	Len   uint32 // bytes of one segment
}

// AppendSegmentsLimit is AppendSegments up to a limit. It returns how many bytes
// of buf the list holds now.
func AppendSegmentsLimit(mem Memory, segs []Segment, buf []byte, lim SegmentLimit) (_ []Segment, n int) {
	for n < len(buf) {
		p := unsafe.Pointer(&buf[n])
		size := uint32(min(len(buf)-n, PageSize-int(uintptr(p)%PageSize)))
		addr := mem.Phys(p)
		// Pages are often neighbours in physical memory too: one descriptor.
		last := len(segs) - 1
		if last >= lim.First && segs[last].Addr+uint64(segs[last].Len) == addr && segs[last].Len < lim.Len {
			size = min(size, lim.Len-segs[last].Len)
			segs[last].Len += size
		} else if len(segs) < lim.Count {
			size = min(size, lim.Len)
			segs = append(segs, Segment{addr, size})
		} else {
			break
		}
		n += int(size)
	}
	return segs, n
}
