package machine

// Sizes, in bytes, and how many pages a Chunk has.
const (
	PageSize   = 4096
	SectorSize = 512
	ChunkPages = 64
)

// A File is the machine half's handle for a file that is mapped; 0 is none.
type File uintptr

// A Page is the address of a page in the machine's direct map with the bits below, or 0.
type Page uintptr

// Bits of a Page, and of the entries of the machine half's table of a file.
const (
	PagePresent Page = 1 << 0
	PageDirty   Page = 1 << 1 // stored to through a mapping since it was collected
	PageNew     Page = 1 << 2 // made or read by the machine half: the page cache does not know it yet
	PageReading Page = 1 << 3 // not there yet: the rest is the mark of a request
	// PageCollected: the page cache was told of a store, and does not keep the page for
	// that reason yet.
	PageCollected Page = 1 << 4

	PageBits Page = PageSize - 1
)

// Address returns the address without the bits.
func (p Page) Address() uint64 { return uint64(p &^ PageBits) }

// Stored is a page that a mapping has stored to, as CallCollectPages tells it.
type Stored struct {
	Index uintptr // which page of the file
	Page  Page
}

// A Run is a part of a file that lies on its device as it is, in whole pages.
type Run struct {
	First  uintptr // page of the file
	Pages  uintptr
	Sector uintptr // of SectorSize
}

// Chunk is the part of 64 pages of a cached file that both sides use. The page cache
// registers the addresses of its chunks (CallSetChunks). When the machine half has no
// other memory and Pins is 0, it takes the pages that are in Valid and not in Keep; of
// a mapped file only those that it can read again and that no mapping has stored to.
// The page cache pins a chunk before it looks at pages or changes these fields.
type Chunk struct {
	Pins   uint32 // users, ChunkTaken while the machine half takes pages
	Recent uint32 // not 0: used since the machine half looked last
	Valid  uint64 // pages that are there and have the file's content, a bit each
	Keep   uint64 // of those, what is dirty or being written
	Page   [ChunkPages]uint64
	File   File    // not 0: the machine half may have pages of it in mappings
	First  uintptr // index of the first page in the file
}

// ChunkTaken is the value of Chunk.Pins while the machine half takes pages.
const ChunkTaken = ^uint32(0)

// StoreLimits say when stores to mappings interrupt, and when they wait. All counts are
// of pages.
type StoreLimits struct {
	Device Device
	Enough uintptr // interrupts at the first page that is stored to, and at this many; 0: never
	Limit  uintptr // a store waits while this many are dirty, with those of Dirty
	Dirty  uintptr // address of a uint64: pages that the page cache knows to be dirty
}
