//go:build tamago

package runtime

// machOutOfMemory ends the machine: there is no page left for an access that
// the program may make. It says who has the memory.
func machOutOfMemory() {
	conString("\nyolk: out of memory: all ")
	conDec(uint64(mach.mem.total >> 20))
	conString(" MiB of RAM are in use; give the VM more (yolk run -m SIZE)\nyolk: ")
	list := memoryUsers()
	for range list {
		most := 0
		for i := range list {
			if list[i].bytes > list[most].bytes {
				most = i
			}
		}
		if list[most].bytes>>20 > 0 {
			conDec(uint64(list[most].bytes >> 20))
			conString(" MiB ")
			conString(list[most].what)
			conString("; ")
		}
		list[most].bytes = 0
	}
	conDec(gcController.heapMarked >> 20)
	conString(" MiB of the heap were live at the last collection\n")
	machExit(137)
}

type memoryUser struct {
	what  string
	bytes int64
}

// memoryUsers tells what RAM is used for. Address space that has no pages yet
// counts too where the runtime keeps no better account.
func memoryUsers() [8]memoryUser {
	var heap, stacks, work int64
	for i := range memstats.heapStats.stats {
		s := &memstats.heapStats.stats[i]
		heap += s.inHeap
		stacks += s.inStacks
		work += s.inWorkBufs
	}
	work += int64(memstats.gcMiscSys.load() + memstats.buckhash_sys.load() + memstats.mspan_sys.load() + memstats.mcache_sys.load() + memstats.other_sys.load())
	files := int64(0)
	if p := mach.hooks.filePages; p != nil {
		files = *p * machPage
	}
	heap -= files // which lie in it
	lent := int64(mach.mem.lent)
	cache := int64(mach.cache.pages * machPage)
	idle := int64(gcController.heapFree.load()) // and resident
	rest := int64(mach.mem.total-mach.mem.Free) - lent - heap - idle - stacks - work - files - cache
	return [8]memoryUser{
		{"Go heap", heap},
		{"Go heap, free", idle},
		{"files in memory", files},
		{"files of disks, mapped or not yet written", cache},
		{"goroutine stacks", stacks},
		{"given to the host by the balloon", lent},
		{"Go runtime", work},
		{"image, page tables, devices and mappings", rest},
	}
}
