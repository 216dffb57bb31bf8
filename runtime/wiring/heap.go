package wiring

// heapLimit is what the collector was told; heapMost what it was told first.
var heapLimit, heapMost int64

// maxStack is Go's own limit for the stack of a goroutine, in bytes.
const maxStack = 1_000_000_000

// limitHeap leaves the collector what the image, the page tables and the
// network's buffers do not need: an eighth of the free memory, at least 2 MiB.
// A stack gets a quarter of the memory at most: a goroutine that recurses
// without end is to end the program with Go's report of that, not because there
// is no memory for its next stack.
func limitHeap() {
	_, free := memory()
	heapMost = int64(free - max(free/8, 2<<20))
	heapLimit = heapMost
	limitMemory(heapMost, int64(min(free/4, maxStack)))
}

// minHeap is the least that the collector's limit is lowered to.
const minHeap = 2 << 20

// ShrinkMemory tells the collector that n bytes of the RAM are not there for now.
// A limit of the program's own stays as it is.
func ShrinkMemory(n uint64) {
	limit := max(heapMost-int64(min(n, 1<<62)), minHeap)
	if limit != heapLimit && moveLimit(heapLimit, limit) {
		heapLimit = limit
	}
}
