// Command prog has one subcommand per case of the VM tests.
package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

var cases = map[string]func(args []string){
	"hello":     func([]string) { fmt.Println("hello, world") },
	"exit":      func(a []string) { os.Exit(number(a[0])) },
	"panic":     func([]string) { panic("boom") },
	"deadlock":  func([]string) { select {} },
	"addresses": addresses,
	"spin":      spin,
	"oom":       oom,
	"deep":      func([]string) { fmt.Println(deep(1e6)) },
	"recover":   recovered,
	"show":      show,
	"cat":       cat,
	"tree":      tree,
	"upper":     upper,
	"copy":      copyInput,
	"window":    window,
	"keys":      keys,
	"signal":    waitForSignal,
	"exec":      start,
	"goroutine": goroutines,
	"clock":     clock,
	"cpus":      cpus,
	"cputime":   cpuTime,
	"temp":      temp,
	"release":   release,
	"garbage":   garbage,
}

func main() {
	if len(os.Args) < 2 || cases[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "prog: unknown case")
		os.Exit(2)
	}
	cases[os.Args[1]](os.Args[2:])
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	check(err)
	return n
}

var kept8 *[8]byte

// addresses prints the addresses of heap, a mapping and the stack.
func addresses([]string) {
	kept8 = new([8]byte)
	m, err := syscall.Mmap(-1, 0, 4096, syscall.PROT_READ, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	check(err)
	fmt.Printf("%p %p %p\n", kept8, &m[0], unsafe.StringData(os.Args[0])) // arguments lie in the first stack
}

const getcpu = 309 // SYS_GETCPU

// cpuTime compares the CPU time of the process, from getrusage(2) and /proc/stat, with the clock: first
// two busy goroutines, then none.
func cpuTime([]string) {
	used := func() (time.Duration, time.Duration) {
		var r syscall.Rusage
		check(syscall.Getrusage(syscall.RUSAGE_SELF, &r))
		b, err := os.ReadFile("/proc/stat")
		check(err)
		busy, err := strconv.Atoi(strings.Fields(string(b))[1])
		check(err)
		return time.Duration(r.Utime.Nano() + r.Stime.Nano()), time.Duration(busy) * 10 * time.Millisecond
	}
	measure := func(what string, do func()) {
		rusage, stat := used()
		start := time.Now()
		do()
		wall := time.Since(start)
		rusage2, stat2 := used()
		fmt.Printf("%s %.1f %.1f\n", what, float64(rusage2-rusage)/float64(wall), float64(stat2-stat)/float64(wall))
	}
	measure("busy", func() {
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				for end := time.Now().Add(time.Second); time.Now().Before(end); {
				}
			})
		}
		wg.Wait()
	})
	measure("idle", func() { time.Sleep(time.Second) })
}

// copyInput copies standard input to standard output, and tells of it on standard error.
func copyInput([]string) {
	n, err := io.Copy(os.Stdout, os.Stdin)
	fmt.Fprintln(os.Stderr, "copied", n, err)
}

// window prints the size of the terminal, and again whenever that changes.
func window([]string) {
	const tiocgwinsz = 0x5413
	changed := make(chan os.Signal, 1)
	signal.Notify(changed, syscall.SIGWINCH)
	for {
		var w struct{ rows, columns, x, y uint16 }
		_, _, e := syscall.Syscall(syscall.SYS_IOCTL, 0, tiocgwinsz, uintptr(unsafe.Pointer(&w)))
		fmt.Println("window", w.rows, w.columns, e)
		<-changed
	}
}

// keys takes all keys of the terminal, twice, and prints them as they come; many at once it sums up, to the first Q.
func keys([]string) {
	var t syscall.Termios
	state := func(request uintptr) {
		_, _, e := syscall.Syscall(syscall.SYS_IOCTL, 0, request, uintptr(unsafe.Pointer(&t)))
		if e != 0 {
			panic(e)
		}
	}
	state(syscall.TCGETS)
	cooked := t.Lflag
	for range 2 {
		t.Lflag = cooked
		state(syscall.TCSETS)
		t.Lflag = cooked &^ (syscall.ISIG | syscall.ICANON | syscall.ECHO)
		t.Iflag &^= syscall.ICRNL
		state(syscall.TCSETS)
	}
	fmt.Println("taking keys")
	var pasted []byte
	b := make([]byte, 64<<10)
	for {
		n, err := os.Stdin.Read(b)
		if err != nil {
			panic(err)
		}
		if n < 10 && len(pasted) == 0 {
			fmt.Printf("keys %q\n", b[:n])
			continue
		}
		pasted = append(pasted, b[:n]...)
		if whole, ok := bytes.CutSuffix(pasted, []byte("Q")); ok {
			fmt.Printf("pasted %d %x\n", len(whole), sha256.Sum256(whole))
			pasted = nil
		}
	}
}

// cpus prints the number of CPUs, and on how many busy threads ran.
func cpus([]string) {
	n := runtime.NumCPU()
	seen := make([]atomic.Bool, n)
	var left atomic.Int32 // CPUs that no thread has been seen on
	left.Store(int32(n))
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			runtime.LockOSThread()
			// A busy host may need seconds to start all CPUs.
			for start := time.Now(); time.Since(start) < 300*time.Millisecond || left.Load() > 0 && time.Since(start) < 20*time.Second; {
				var cpu uint32
				_, _, errno := syscall.Syscall(getcpu, uintptr(unsafe.Pointer(&cpu)), 0, 0)
				if errno != 0 {
					panic(errno)
				}
				if !seen[cpu].Swap(true) {
					left.Add(-1)
				}
			}
		})
	}
	wg.Wait()
	fmt.Println(n, runtime.GOMAXPROCS(0), n-int(left.Load()))
}

func check(err error) {
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
}

// spin shows that a goroutine that never yields does not stop others: timers and the collector's
// stop-the-world need preemption.
func spin([]string) {
	for range runtime.GOMAXPROCS(0) {
		go func() {
			for {
			}
		}()
	}
	for i := range 3 {
		time.Sleep(10 * time.Millisecond)
		runtime.GC()
		fmt.Println("tick", i)
	}
}

var kept [][]byte

func oom([]string) {
	for {
		b := make([]byte, 1<<20)
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
		kept = append(kept, b)
	}
}

// release allocates a GiB and frees it, each when a line is read.
func release([]string) {
	in := bufio.NewReader(os.Stdin)
	step := func(what string) {
		fmt.Println(what)
		in.ReadString('\n')
	}
	step("small")
	b := make([]byte, 1<<30)
	for i := 0; i < len(b); i += 4096 {
		b[i] = 1
	}
	runtime.KeepAlive(b)
	step("large")
	b = nil
	debug.FreeOSMemory()
	step("free")
	fmt.Println("END")
}

// garbage allocates 4 GiB, of which it keeps nothing, in a few seconds.
func garbage([]string) {
	fmt.Println("started")
	for range 40 {
		for range 100 {
			kept = [][]byte{make([]byte, 1<<20)}
			for i := 0; i < 1<<20; i += 4096 {
				kept[0][i] = 1
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	fmt.Println("END")
}

func deep(n int) int {
	if n == 0 {
		return 0
	}
	return 1 + deep(n-1)
}

type node struct{ value int }

// recovered turns faults of the CPU into panics.
func recovered([]string) {
	try := func(name string, f func()) {
		defer func() {
			err, ok := recover().(runtime.Error)
			fmt.Println(name, ok, err)
		}()
		f()
	}
	var nothing *node
	zero := len(os.Args) - len(os.Args)
	try("nil:", func() { nothing.value = 1 })
	try("zero:", func() { fmt.Println(1 / zero) })
	try("index:", func() { fmt.Println(os.Args[zero-1]) })
}

func show(args []string) {
	fmt.Printf("args %q\n", os.Args[1:])
	dir, err := os.Getwd()
	check(err)
	host, err := os.Hostname()
	check(err)
	fmt.Println("cwd", dir)
	fmt.Println("hostname", host)
	env := os.Environ()
	slices.Sort(env)
	for _, kv := range env {
		fmt.Printf("env %q\n", kv)
	}
}

func cat(args []string) {
	for _, name := range args {
		b, err := os.ReadFile(name)
		check(err)
		os.Stdout.Write(b)
	}
}

func tree(args []string) {
	check(filepath.WalkDir(args[0], func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		target, _ := os.Readlink(path)
		fmt.Println(path, info.Mode(), target)
		return nil
	}))
}

func upper([]string) {
	in := bufio.NewReader(os.Stdin)
	for {
		line, err := in.ReadString('\n')
		fmt.Print(strings.ToUpper(line))
		if err == io.EOF {
			fmt.Println("END")
			return
		}
		check(err)
	}
}

func waitForSignal([]string) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, os.Interrupt, syscall.SIGTERM)
	fmt.Println("waiting")
	fmt.Println("asked to stop:", <-c)
	os.Exit(9)
}

func start([]string) {
	err := exec.Command("/proc/self/exe", "hello").Run()
	fmt.Println("no processes:", errors.Is(err, syscall.ENOSYS), err)
}

func goroutines([]string) {
	const n = 10000
	c := make(chan int)
	for i := range n {
		go func() { c <- i }()
	}
	sum := 0
	for range n {
		sum += <-c
	}
	fmt.Println("sum", sum)
}

// clock compares the wall clock with the monotonic one.
func clock([]string) {
	start := time.Now()
	time.Sleep(200 * time.Millisecond)
	d := time.Since(start)
	fmt.Println("slept", d >= 200*time.Millisecond && d < 2*time.Second, start.UTC().Format(time.RFC3339))
}

func temp([]string) {
	dir, err := os.MkdirTemp("", "x")
	check(err)
	name := filepath.Join(dir, "file")
	check(os.WriteFile(name, []byte("kept"), 0o600))
	check(os.Rename(name, name+"2"))
	b, err := os.ReadFile(name + "2")
	check(err)
	check(os.RemoveAll(dir))
	_, err = os.Stat(dir)
	fmt.Println(string(b), errors.Is(err, fs.ErrNotExist))
}
