// Command soak keeps every part of the runtime busy for a while and checks results of computations,
// contents of memory, files and connections, and the order of time. It fails on corruption, on a
// stall seen by its watchdog, and on growth of the heap.
//
//	soak [-for 30s] [-stall 1s]
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A worker does one round of its work; rounds counts the rounds.
type worker struct {
	name   string
	round  func(r *rand.Rand) error
	copies int
	rounds atomic.Int64
}

var workers = []*worker{
	{name: "allocate", round: allocate, copies: 2},
	{name: "map", round: mapAndUnmap, copies: 1},
	{name: "large pages", round: largePages, copies: 2},
	{name: "compute", round: compute, copies: 2},
	{name: "timers", round: timers, copies: 2},
	{name: "channels", round: channels, copies: 2},
	{name: "panics", round: panics, copies: 1},
	{name: "stacks", round: stacks, copies: 1},
	{name: "signals", round: signals, copies: 1},
	{name: "network", round: network, copies: 2},
	{name: "files", round: files, copies: 1},
	{name: "threads", round: threads, copies: 1},
	{name: "collect", round: collect, copies: 1},
}

func main() {
	length := flag.Duration("for", 30*time.Second, "how long")
	stall := flag.Duration("stall", time.Second, "the longest stall that is allowed")
	flag.Parse()
	fail := func(what string, err error) {
		fmt.Printf("soak: %s: %v\n", what, err)
		os.Exit(1)
	}
	listen()
	var stop atomic.Bool
	var wg sync.WaitGroup
	for _, w := range workers {
		for i := range w.copies {
			wg.Go(func() {
				r := rand.New(rand.NewPCG(uint64(i), 7))
				for !stop.Load() {
					if err := w.round(r); err != nil {
						fail(w.name, err)
					}
					w.rounds.Add(1)
				}
			})
		}
	}
	worst := watch(*length, func(late time.Duration) {
		if late > *stall {
			fmt.Printf("soak: stalled for %v\n", late)
		}
	})
	stop.Store(true)
	wg.Wait()
	for _, w := range workers {
		fmt.Printf("%s %d\n", w.name, w.rounds.Load())
		if w.rounds.Load() == 0 {
			fail(w.name, errors.New("no round ended"))
		}
	}
	fmt.Printf("longest stall %v\n", worst.Round(time.Millisecond))
	if worst > *stall {
		os.Exit(1)
	}
	fmt.Println("soak: ok")
}

// watch sleeps in short steps for the given time and reports how late it woke up. It checks that the
// heap and the number of goroutines do not grow.
func watch(length time.Duration, late func(time.Duration)) (worst time.Duration) {
	const step = 50 * time.Millisecond
	var early, m runtime.MemStats
	start := time.Now()
	next := start.Add(10 * time.Second)
	for time.Since(start) < length {
		before := time.Now()
		time.Sleep(step)
		d := time.Since(before) - step
		if d < 0 {
			fmt.Println("soak: woke early by", -d)
			os.Exit(1)
		}
		worst = max(worst, d)
		late(d)
		if time.Now().Before(next) {
			continue
		}
		next = next.Add(30 * time.Second)
		runtime.ReadMemStats(&m)
		if early.Sys == 0 {
			early = m
		}
		fmt.Printf("%v: heap %d KiB, system %d KiB, %d goroutines\n", time.Since(start).Round(time.Second), m.HeapInuse>>10, m.Sys>>10, runtime.NumGoroutine())
		if m.Sys > 2*early.Sys+64<<20 || runtime.NumGoroutine() > 2000 {
			fmt.Println("soak: growth")
			os.Exit(1)
		}
	}
	return worst
}

// A node of a tree, with the sum of the nodes below it.
type node struct {
	left, right *node
	sum         uint64
	pad         []byte
}

func grow(r *rand.Rand, depth int) *node {
	n := &node{pad: make([]byte, r.IntN(200))}
	for i := range n.pad {
		n.pad[i] = byte(i)
	}
	n.sum = uint64(len(n.pad))
	if depth > 0 {
		n.left, n.right = grow(r, depth-1), grow(r, depth-1)
		n.sum += n.left.sum + n.right.sum
	}
	return n
}

func (n *node) check() uint64 {
	sum := uint64(0)
	for i, b := range n.pad {
		if b != byte(i) {
			return ^uint64(0)
		}
		sum++
	}
	if n.left != nil {
		sum += n.left.check() + n.right.check()
	}
	return sum
}

func allocate(r *rand.Rand) error {
	t := grow(r, 8+r.IntN(4))
	runtime.Gosched()
	if got := t.check(); got != t.sum {
		return fmt.Errorf("a tree has sum %d; want %d", got, t.sum)
	}
	return nil
}

// largePages moves memory between 4 KiB and 2 MiB pages while it is in use.
func largePages(r *rand.Rand) error {
	const n, step, collapse = 6 << 20, 1 << 10, 25 // MADV_COLLAPSE
	b, err := syscall.Mmap(-1, 0, n, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		return err
	}
	defer syscall.Munmap(b)
	if r.IntN(2) == 0 {
		if err := syscall.Madvise(b, syscall.MADV_HUGEPAGE); err != nil {
			return err
		}
	}
	for i := 0; i < n; i += step {
		b[i] = byte(i / step)
	}
	if err := syscall.Madvise(b, collapse); err != nil && err != syscall.ENOMEM {
		return err
	}
	hole := r.IntN(n/4096-1) * 4096
	if err := syscall.Mprotect(b[hole:hole+4096], syscall.PROT_NONE); err != nil {
		return err
	}
	if err := syscall.Mprotect(b[hole:hole+4096], syscall.PROT_READ); err != nil {
		return err
	}
	forgotten := r.IntN(n/4096-64) * 4096
	if err := syscall.Madvise(b[forgotten:forgotten+64*4096], syscall.MADV_DONTNEED); err != nil {
		return err
	}
	for i := 0; i < n; i += step {
		want := byte(i / step)
		if i >= forgotten && i < forgotten+64*4096 {
			want = 0
		}
		if b[i] != want {
			return fmt.Errorf("byte %#x is %d; want %d (hole %#x, forgotten %#x)", i, b[i], want, hole, forgotten)
		}
	}
	return nil
}

// mapAndUnmap maps memory, uses it and unmaps it.
func mapAndUnmap(r *rand.Rand) error {
	n := (1 + r.IntN(256)) << 12
	b, err := syscall.Mmap(-1, 0, n, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		return err
	}
	for i := 0; i < n; i += 512 {
		if b[i] != 0 {
			return fmt.Errorf("fresh memory holds %d", b[i])
		}
		b[i] = byte(i >> 9)
	}
	runtime.Gosched()
	for i := 0; i < n; i += 512 {
		if b[i] != byte(i>>9) {
			return fmt.Errorf("memory changed at %d of %d", i, n)
		}
	}
	if err := syscall.Madvise(b, syscall.MADV_DONTNEED); err != nil {
		return err
	}
	if b[0] != 0 || b[n-512] != 0 {
		return errors.New("memory kept what it was told to forget")
	}
	return syscall.Munmap(b)
}

// compute keeps values in vector registers while other goroutines run.
func compute(r *rand.Rand) error {
	b := make([]byte, 8<<10)
	for i := range b {
		b[i] = byte(i * 7)
	}
	x := 1.5
	for i := range 2000 {
		x = x*1.0000001 + float64(i)*1e-9
	}
	y := 1.5
	for i := range 2000 {
		y = y*1.0000001 + float64(i)*1e-9
	}
	const want = "ae67473d61aff109"
	if sum := sha256.Sum256(b); x != y || fmt.Sprintf("%x", sum[:8]) != want {
		return fmt.Errorf("computed %v, %v and %x; want %s", x, y, sum[:8], want)
	}
	return nil
}

func timers(r *rand.Rand) error {
	var wg sync.WaitGroup
	errs := make(chan error, 32)
	for range 32 {
		d := time.Duration(r.IntN(20_000)) * time.Microsecond
		start := time.Now()
		wg.Add(1)
		time.AfterFunc(d, func() {
			defer wg.Done()
			if e := time.Since(start); e < d {
				errs <- fmt.Errorf("a timer of %v fired after %v", d, e)
			}
		})
	}
	wg.Wait()
	close(errs)
	return <-errs
}

func channels(r *rand.Rand) error {
	in, out := make(chan int), make(chan int, r.IntN(4))
	done := make(chan struct{})
	for range 4 {
		go func() {
			for {
				select {
				case v := <-in:
					out <- v * 2
				case <-done:
					return
				}
			}
		}()
	}
	go func() {
		for i := range 200 {
			in <- i
		}
	}()
	sum := 0
	for range 200 {
		sum += <-out
	}
	close(done)
	if sum != 200*199 {
		return fmt.Errorf("sum %d; want %d", sum, 200*199)
	}
	return nil
}

func panics(r *rand.Rand) (err error) {
	defer func() {
		e, ok := recover().(runtime.Error)
		if !ok {
			err = fmt.Errorf("recovered %v", e)
		}
	}()
	var p *[4]int
	var zero int
	switch r.IntN(3) {
	case 0:
		p[r.IntN(4)] = 1
	case 1:
		zero = 1 / zero
	default:
		s := make([]int, 1)
		s[r.IntN(3)+1] = 1
	}
	return errors.New("no panic")
}

func stacks(r *rand.Rand) error {
	n := 1 + r.IntN(10_000)
	result := make(chan int)
	go func() { result <- descend(n) }()
	if got := <-result; got != n {
		return fmt.Errorf("depth %d; want %d", got, n)
	}
	return nil
}

func descend(n int) int {
	var pad [10]int
	if n == 0 {
		return pad[n]
	}
	pad[n%10] = n
	return descend(n-1) + 1 + pad[n%10] - n
}

func signals(r *rand.Rand) error {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGUSR1)
	defer signal.Stop(c)
	if err := syscall.Kill(os.Getpid(), syscall.SIGUSR1); err != nil {
		return err
	}
	select {
	case <-c:
		return nil
	case <-time.After(10 * time.Second):
		return errors.New("a signal did not arrive within 10 s")
	}
}

var echo net.Listener

func listen() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println("soak:", err)
		os.Exit(1)
	}
	echo = l
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.Copy(c, c)
			}()
		}
	}()
}

func network(r *rand.Rand) error {
	c, err := net.Dial("tcp", echo.Addr().String())
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(30 * time.Second))
	b := make([]byte, 1+r.IntN(100_000))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	sent := make(chan error, 1)
	go func() {
		_, err := c.Write(b)
		if err == nil {
			err = c.(*net.TCPConn).CloseWrite()
		}
		sent <- err
	}()
	got, err := io.ReadAll(c)
	if err == nil {
		err = <-sent
	}
	if err == nil && !bytes.Equal(got, b) {
		err = fmt.Errorf("%d bytes came back of %d, or they differ", len(got), len(b))
	}
	return err
}

func files(r *rand.Rand) error {
	dir, err := os.MkdirTemp("", "soak")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for i := range 10 {
		b := make([]byte, 4+r.IntN(20_000))
		for j := range b[4:] {
			b[4+j] = byte(r.Uint32())
		}
		binary.LittleEndian.PutUint32(b, crc32.ChecksumIEEE(b[4:]))
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), b, 0o600); err != nil {
			return err
		}
	}
	for i := range 10 {
		b, err := os.ReadFile(filepath.Join(dir, fmt.Sprint(i)))
		if err != nil {
			return err
		}
		if binary.LittleEndian.Uint32(b) != crc32.ChecksumIEEE(b[4:]) {
			return fmt.Errorf("file %d has changed", i)
		}
	}
	return nil
}

// threads starts threads that end.
func threads(r *rand.Rand) error {
	var wg sync.WaitGroup
	for range 4 {
		d := time.Duration(r.IntN(1000)) * time.Microsecond
		wg.Go(func() {
			runtime.LockOSThread() // the thread ends with the goroutine
			time.Sleep(d)
		})
	}
	wg.Wait()
	return nil
}

func collect(r *rand.Rand) error {
	runtime.GC()
	if r.IntN(10) == 0 {
		debug.FreeOSMemory()
	}
	time.Sleep(10 * time.Millisecond)
	return nil
}
