package main

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"unsafe"
)

// beyondPages is more than the VM's RAM.
const beyondPages = 160 << 20 / page

// stamp is the value at three places of page i of the file after version changes.
func stamp(i int, version uint64) uint64 { return uint64(i)<<24 ^ version*0x9e3779b97f4a7c15 }

func mark(p []byte, i int, version uint64) {
	for _, at := range [...]int{0, 2000, page - 8} {
		binary.LittleEndian.PutUint64(p[at:], stamp(i, version))
	}
}

func marked(p []byte, i int, version uint64) error {
	for _, at := range [...]int{0, 2000, page - 8} {
		if got := binary.LittleEndian.Uint64(p[at:]); got != stamp(i, version) {
			return fmt.Errorf("page %d holds %#x at %d; want %#x", i, got, at, stamp(i, version))
		}
	}
	return nil
}

// beyond maps a file that is larger than the memory. Goroutines read it in order, change pages of
// their own through the mapping and with write(2), and sync.
func beyond() error {
	name := filepath.Join(dir, "beyond")
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	chunk := make([]byte, 64*page)
	for i := 0; i < beyondPages; i += 64 {
		for j := range 64 {
			mark(chunk[j*page:], i+j, 0)
		}
		if _, err := f.Write(chunk); err != nil {
			return err
		}
	}
	m, err := mapFile(f, 0, beyondPages*page, rw, syscall.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("mapping %d MiB: %w", beyondPages*page>>20, err)
	}
	const workers = 4
	versions := make([]uint64, beyondPages)
	errs := make([]error, workers+1)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() { errs[w] = change(f, m, versions, w, workers) })
	}
	wg.Go(func() { errs[workers] = inOrder(m) })
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	copied := make([]byte, 8<<20) // in one step, without writeback in between
	copy(copied, m)
	copy(m, copied)
	for i := range versions { // stores to more pages than the memory has
		versions[i]++
		mark(m[i*page:], i, versions[i])
	}
	for i := range versions {
		if err := marked(m[i*page:], i, versions[i]); err != nil {
			return fmt.Errorf("at the end: %w", err)
		}
	}
	if err := syscall.Munmap(m); err != nil {
		return err
	}
	for i := 0; i < beyondPages; i += 64 {
		if _, err := f.ReadAt(chunk, int64(i)*page); err != nil {
			return err
		}
		for j := range 64 {
			if err := marked(chunk[j*page:], i+j, versions[i+j]); err != nil {
				return fmt.Errorf("read after munmap: %w", err)
			}
		}
	}
	return os.Remove(name)
}

// change changes pages whose versions only this worker uses.
func change(f *os.File, m []byte, versions []uint64, w, workers int) error {
	r := rand.New(rand.NewPCG(1, uint64(w)))
	buf := make([]byte, page)
	for n := range 1500 {
		i := r.IntN(beyondPages/workers)*workers + w
		p := m[i*page : (i+1)*page]
		if err := marked(p, i, versions[i]); err != nil {
			return err
		}
		switch versions[i]++; n % 4 {
		case 0:
			mark(buf, i, versions[i])
			if _, err := f.WriteAt(buf, int64(i)*page); err != nil {
				return err
			}
		case 1:
			versions[i]--
			if _, err := f.ReadAt(buf, int64(i)*page); err != nil {
				return err
			}
			if err := marked(buf, i, versions[i]); err != nil {
				return fmt.Errorf("read: %w", err)
			}
		default:
			mark(p, i, versions[i])
		}
		if n%500 == 499 {
			if _, _, e := syscall.Syscall(syscall.SYS_MSYNC, uintptr(unsafe.Pointer(&m[0])), uintptr(len(m)), 4); e != 0 {
				return fmt.Errorf("msync: %w", e)
			}
		}
	}
	return nil
}

// inOrder reads a word of each page, which others may be changing.
func inOrder(m []byte) error {
	for i := 0; i < beyondPages; i++ {
		if got := binary.LittleEndian.Uint64(m[i*page+8:]); got != 0 {
			return fmt.Errorf("page %d holds %#x where nobody writes", i, got)
		}
	}
	return nil
}
