// Mmapcalls makes mmap(2) and its kin with arguments that a range check can stumble over, and
// prints what each answers. It prints the same on Linux and on yolk; addresses, which differ,
// are printed as where they lead: a mapping may only lie among the program's addresses.
package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"unsafe"
)

const (
	page = 4096
	end  = 1<<47 - page // TASK_SIZE_MAX
	low  = 1 << 16      // vm.mmap_min_addr

	read, write, exec  = syscall.PROT_READ, syscall.PROT_WRITE, syscall.PROT_EXEC
	private, anonymous = syscall.MAP_PRIVATE, syscall.MAP_ANON
	fixed              = syscall.MAP_FIXED
	noReplace          = 0x100000 // MAP_FIXED_NOREPLACE
	mayMove            = 1        // MREMAP_MAYMOVE
	remapFixed         = 2        // MREMAP_FIXED
)

// place is an address with a name.
type place struct {
	name string
	addr uintptr
}

// top returns the page that is n bytes below 1<<64.
func top(n uintptr) uintptr { return -n }

func main() {
	block := reserve(16 * page)
	places := []place{
		{"0", 0}, {"low", low}, {"block", block}, {"block+1", block + 1}, {"block+page", block + page}, {"block+15p", block + 15*page},
		{"end-page", end - page}, {"end", end}, {"end+page", end + page}, {"1<<47", 1 << 47}, {"1<<63", 1 << 63},
		{"directmap", 0xffff800000000000}, {"kernel", 0xffffffff80000000}, {"top-page", top(page)}, {"top", top(1)},
	}
	lengths := []place{
		{"0", 0}, {"1", 1}, {"page", page}, {"16 pages", 16 * page}, {"17 pages", 17 * page}, {"end", end}, {"end+1", end + 1}, {"1<<47", 1 << 47},
		{"1<<63", 1 << 63}, {"to 0", 0}, {"over 0", 0}, {"-page", top(page)}, {"-page+1", top(page) + 1}, {"-1", top(1)},
	}
	for _, p := range places {
		for _, n := range lengths {
			switch n.name { // lengths whose sum with the address wraps around
			case "to 0":
				n.addr = -p.addr
			case "over 0":
				n.addr = -p.addr + page
			}
			all(p, n, block)
		}
	}
	flags(block)
	remaps(block)
	files(block)
	fmt.Println("done")
}

// reserve maps n bytes far from where Linux and Go map anything by themselves.
func reserve(n uintptr) uintptr {
	const quiet = 0x600000000000
	at, e := call(syscall.SYS_MMAP, quiet, n, read|write, private|anonymous, top(1), 0)
	if e != 0 || at != quiet {
		fmt.Printf("wrong: the block is at %#x: %v\n", at, e)
		os.Exit(1)
	}
	return at
}

func call(nr uintptr, a ...uintptr) (uintptr, syscall.Errno) {
	var n [6]uintptr
	copy(n[:], a)
	r, _, e := syscall.Syscall6(nr, n[0], n[1], n[2], n[3], n[4], n[5])
	return r, e
}

func say(e syscall.Errno, what ...any) {
	result := "ok"
	if e != 0 {
		result = e.Error()
	}
	fmt.Println(strings.TrimSuffix(fmt.Sprintln(what...), "\n")+":", result)
}

// all makes every call of the family that takes a range. What mmap has mapped is unmapped
// again, and the block is whole again, when it returns.
func all(p, n place, block uintptr) {
	for _, f := range []struct {
		name string
		bits uintptr
	}{{"", 0}, {" fixed", fixed}, {" no replace", noReplace}} {
		if p.addr < low && f.bits == fixed || p.addr+n.addr > end-1<<30 && p.addr < 1<<47 && n.addr < end && f.bits == fixed {
			continue // Linux lets root map page 0; the first stack and the vDSO lie at the end
		}
		if f.bits == fixed && p.addr != block && (n.addr < end && p.addr < end) {
			continue // that would lie over memory of the program
		}
		if f.bits == noReplace && p.addr == 0 || f.bits != 0 && p.name == "top" {
			continue // the last address is also the errno EPERM: Linux answers that
		}
		at, e := call(syscall.SYS_MMAP, p.addr, n.addr, read|write, private|anonymous|f.bits, top(1), 0)
		say(e, "mmap"+f.name, p.name, n.name)
		if e == 0 {
			used(at, n.addr)
			if at != block {
				call(syscall.SYS_MUNMAP, at, n.addr)
			}
		}
		restore(block)
	}
	_, e := call(syscall.SYS_MADVISE, p.addr, n.addr, syscall.MADV_WILLNEED)
	say(e, "madvise", p.name, n.name)
	if harmless(p.addr, n.addr, block) {
		_, e = call(syscall.SYS_MPROTECT, p.addr, n.addr, read|write)
		say(e, "mprotect", p.name, n.name)
		_, e = call(syscall.SYS_MADVISE, p.addr, n.addr, syscall.MADV_DONTNEED)
		say(e, "madvise not needed", p.name, n.name)
	}
	vec := make([]byte, 64)
	_, e = call(syscall.SYS_MINCORE, p.addr, n.addr, uintptr(unsafe.Pointer(&vec[0])))
	say(e, "mincore", p.name, n.name)
	_, e = call(syscall.SYS_MSYNC, p.addr, n.addr, 4) // MS_SYNC
	say(e, "msync", p.name, n.name)
	_, e = call(syscall.SYS_MUNLOCK, p.addr, n.addr)
	say(e, "munlock", p.name, n.name)
	if n.addr == 0 || p.addr%page != 0 || p.addr+n.addr < p.addr || p.addr+n.addr > end || p.addr+n.addr <= 1<<20 || p.addr == block && n.addr <= 16*page {
		_, e = call(syscall.SYS_MUNMAP, p.addr, n.addr)
		say(e, "munmap", p.name, n.name)
		restore(block)
	}
}

// harmless says that a range has no memory of the program but the block's and the pages around it.
func harmless(addr, n, block uintptr) bool {
	return addr >= end || addr%page != 0 || addr+n <= addr || addr+n <= low || addr >= block && addr+n <= block+17*page
}

// restore maps the block again.
func restore(block uintptr) {
	if _, e := call(syscall.SYS_MMAP, block, 16*page, read|write, private|anonymous|fixed, top(1), 0); e != 0 {
		fmt.Println("wrong: the block is not free:", e)
		os.Exit(1)
	}
}

// used stores to a mapping, which must be the program's.
func used(at, n uintptr) {
	if at%page != 0 || at < low || at >= end || n > end-at {
		fmt.Printf("wrong: a mapping of %#x bytes at %#x\n", n, at)
		return
	}
	**(**byte)(unsafe.Pointer(&at)) = 1
}

// flags tries bits that are unknown or contradict each other.
func flags(block uintptr) {
	for _, bits := range []uintptr{0, 3, 4, 15} {
		_, e := call(syscall.SYS_MMAP, 0, page, read, anonymous|bits, top(1), 0)
		say(e, "mmap of type", bits)
	}
	_, e := call(syscall.SYS_MMAP, 0, page, read, private|anonymous, top(1), 1)
	say(e, "mmap with a part of a page as the offset")
	_, e = call(syscall.SYS_MMAP, block, 17*page, read, private|anonymous|noReplace, top(1), 0)
	say(e, "mmap without replacing the block")
	_, e = call(syscall.SYS_MMAP, block, page, read, private|anonymous|noReplace|fixed, top(1), 0)
	say(e, "mmap with both")
	for _, prot := range []uintptr{8, 16, 1 << 24, 3 << 24, 1 << 40} {
		_, e = call(syscall.SYS_MPROTECT, block, page, read|write|prot)
		say(e, "mprotect with the bits", prot)
	}
	_, e = call(syscall.SYS_MPROTECT, top(page), page, 16)
	say(e, "mprotect of the last page with unknown bits")
	for _, advice := range []uintptr{4, 8, 10, 14, 15, 16, 17, 20, 21, 26, 50, 99, 1 << 31} {
		_, e = call(syscall.SYS_MADVISE, block, page, advice)
		say(e, "madvise", advice)
	}
	for _, bits := range []uintptr{0, 1, 2, 4, 5, 8, 1 << 31} {
		_, e = call(syscall.SYS_MSYNC, block, page, bits)
		say(e, "msync with", bits)
	}
	_, e = call(syscall.SYS_MLOCK, block+5, 10)
	say(e, "mlock of some bytes")
	call(syscall.SYS_MUNMAP, block+8*page, page)
	_, e = call(syscall.SYS_MLOCK, block+7*page+5, page)
	say(e, "mlock of some bytes, and of what is not mapped")
	call(syscall.SYS_MUNLOCK, block, 8*page)
	_, e = call(syscall.SYS_MPROTECT, block+7*page, 2*page, read)
	say(e, "mprotect of what is not mapped")
	_, e = call(syscall.SYS_MADVISE, block+7*page, 2*page, syscall.MADV_DONTNEED)
	say(e, "madvise of what is not mapped")
	_, e = call(syscall.SYS_MSYNC, block+7*page, 2*page, 4)
	say(e, "msync of what is not mapped")
	restore(block)
	_, e = call(syscall.SYS_MUNLOCK, block, 16*page)
	say(e, "munlock")
	_, e = call(325, block, page, 2)
	say(e, "mlock2 with unknown flags")
	for _, bits := range []uintptr{0, 4, 8} {
		_, e = call(syscall.SYS_MLOCKALL, bits)
		say(e, "mlockall with", bits)
	}
	restore(block)
}

// remaps tries mremap(2) with what it refuses whatever is mapped.
func remaps(block uintptr) {
	for _, c := range []struct {
		what                       string
		addr, old, size, flags, to uintptr
	}{
		{"unknown flags", block, page, page, 8, 0},
		{"MREMAP_FIXED alone", block, page, page, remapFixed, block + 8*page},
		{"part of a page", block + 1, page, page, mayMove, 0},
		{"nothing", block, page, 0, mayMove, 0},
		{"too much", block, page, top(1), mayMove, 0},
		{"part of a page as the target", block, page, page, mayMove | remapFixed, block + 8*page + 1},
		{"itself", block, page, page, mayMove | remapFixed, block},
		{"overlapping from below", block, 4 * page, 4 * page, mayMove | remapFixed, block + 3*page},
		{"overlapping from above", block + 3*page, 4 * page, 4 * page, mayMove | remapFixed, block},
		{"growing over itself", block + 3*page, page, 4 * page, mayMove | remapFixed, block},
		{"inside of itself", block, 8 * page, page, mayMove | remapFixed, block + 4*page},
		{"to the end", block, page, page, mayMove | remapFixed, end},
		{"over the end", block, page, 2 * page, mayMove | remapFixed, end - page},
		{"to the last page", block, page, page, mayMove | remapFixed, top(page)},
		{"around", block, page, end, mayMove | remapFixed, top(page)},
	} {
		_, e := call(syscall.SYS_MREMAP, c.addr, c.old, c.size, c.flags, c.to)
		say(e, "mremap", c.what)
	}
}

// files maps a file in memory and looks at its offsets and protections.
func files(block uintptr) {
	f, err := os.CreateTemp("/tmp", "")
	if err != nil {
		fmt.Println("wrong:", err)
		return
	}
	defer os.Remove(f.Name())
	f.Write(make([]byte, 3*page))
	fd := f.Fd()
	shared := uintptr(syscall.MAP_SHARED)
	for _, c := range []struct {
		what                         string
		addr, n, prot, bits, fd, off uintptr
	}{
		{"part of a page as the offset", 0, page, read, private, fd, 1},
		{"the same of no file", 0, page, read, private, top(1), 1},
		{"no file", 0, page, read, private, top(1), 0},
		{"nothing", 0, 0, read, private, fd, 0},
		{"too much", 0, top(1), read, private, fd, 0},
		{"1<<47 bytes", 0, 1 << 47, read, private, fd, 0},
		{"an offset of 1<<63", 0, page, read, private, fd, 1 << 63},
		{"the last offset", 0, page, read, private, fd, top(page)},
		{"beyond 1<<63", 0, 2 * page, read, private, fd, 1<<63 - page},
		{"no type", 0, page, read, 0, fd, 0},
		{"fixed at the end", end, page, read, private | fixed, fd, 0},
		{"fixed around", 0xffff800000000000, 1<<47 - 2*page, read, shared | fixed, fd, 0},
		{"fixed at part of a page", block + 1, page, read, shared | fixed, fd, 0},
		{"not replacing", block, page, read, private | noReplace, fd, 0},
		{"a part", 0, page, read, private, fd, page},
	} {
		at, e := call(syscall.SYS_MMAP, c.addr, c.n, c.prot, c.bits, c.fd, c.off)
		say(e, "mmap of a file,", c.what)
		if e == 0 {
			call(syscall.SYS_MUNMAP, at, c.n)
		}
	}
	at, e := call(syscall.SYS_MMAP, 0, 3*page, read|write, shared, fd, 0)
	say(e, "mmap of a file, shared")
	for _, n := range []uintptr{0, top(1)} {
		_, e = call(syscall.SYS_MREMAP, at, 3*page, n, 0, 0)
		say(e, "mremap of a shared file to", n)
	}
	_, e = call(syscall.SYS_MUNMAP, at, 3*page)
	say(e, "munmap of a shared file")
	codes(fd)
}

// codes maps a file, one byte of which is a RET instruction, to be executed and written.
func codes(fd uintptr) {
	f := os.NewFile(fd, "")
	f.WriteAt([]byte{0xc3}, 0)
	at, e := call(syscall.SYS_MMAP, 0, page, read|write|exec, private, fd, 0)
	say(e, "mmap of a file, private, writable and executable")
	if e == 0 {
		used(at, page)
		**(**byte)(unsafe.Pointer(&at)) = 0xc3
		entry := &at
		(*(*func())(unsafe.Pointer(&entry)))()
		fmt.Println("it runs")
	}
}
