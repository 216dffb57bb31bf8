package runq

import (
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
	"unsafe"
)

// links is memory for the links of threads, outside of Go's heap as in the machine.
func links(t testing.TB, n int) []Link {
	m, err := syscall.Mmap(-1, 0, n*linkSize, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Munmap(m) })
	return unsafe.Slice((*Link)(unsafe.Pointer(unsafe.SliceData(m))), n)
}

const linkSize = int(unsafe.Sizeof(Link{}))

// maxThreads is how many a model has at most.
const maxThreads = 40

const (
	waits = iota
	ready // in a queue
	runs
)

// machine is CPUs and threads beside a model: what each queue holds, in order.
type machine struct {
	t       *testing.T
	threads []Link
	state   []int
	last    []int // the CPU where it ran last

	c     CPUs
	queue [MaxCPUs]Queue
	cpus  int // that are on

	model [MaxCPUs][]int
	cur   [MaxCPUs]int // -1 idles
}

func (m *machine) address(id int) uintptr { return uintptr(unsafe.Pointer(&m.threads[id])) }

func newMachine(t *testing.T, cpus int, threads []Link) *machine {
	m := &machine{t: t, threads: threads, state: make([]int, len(threads)), last: make([]int, len(threads))}
	for range cpus {
		m.start()
	}
	return m
}

// start starts one more CPU.
func (m *machine) start() {
	m.cur[m.cpus] = -1
	m.c.Runs(m.cpus, false)
	m.cpus++
}

// id returns which thread an address names, -1 for 0.
func (m *machine) id(address uintptr) int {
	for i := range m.threads {
		if m.address(i) == address {
			return i
		}
	}
	if address != 0 {
		m.t.Fatalf("%#x is no thread", address)
	}
	return -1
}

func (m *machine) idles(cpu int) bool { return m.cur[cpu] < 0 && len(m.model[cpu]) == 0 }

// wake makes a waiting thread ready, on CPU here.
func (m *machine) wake(here, id int, front bool) {
	cpu, busy := m.c.Choose(here, m.last[id])
	any := false
	for i := range m.cpus {
		any = any || m.idles(i)
	}
	switch {
	case busy && (any || cpu != here):
		m.t.Fatalf("a thread goes to CPU %d as if all were busy", cpu)
	case !busy && (cpu >= m.cpus || !m.idles(cpu)):
		m.t.Fatalf("a thread goes to CPU %d, which has another", cpu)
	case !busy && cpu != here && m.idles(here):
		m.t.Fatalf("a thread goes to CPU %d; want %d, where it is made ready", cpu, here)
	case !busy && cpu != here && cpu != m.last[id] && m.idles(m.last[id]) && m.last[id] < m.cpus:
		m.t.Fatalf("a thread goes to CPU %d; want %d, where it ran", cpu, m.last[id])
	}
	m.push(cpu, id, front)
}

func (m *machine) push(cpu, id int, front bool) {
	m.c.Push(cpu, &m.queue[cpu], m.address(id), front)
	m.state[id], m.last[id] = ready, cpu
	if front {
		m.model[cpu] = slices.Insert(m.model[cpu], 0, id)
	} else {
		m.model[cpu] = append(m.model[cpu], id)
	}
}

// pop takes from a CPU's queue what the model has there.
func (m *machine) pop(cpu int) int {
	got, want := m.id(m.c.Pop(cpu, &m.queue[cpu])), -1
	if q := m.model[cpu]; len(q) > 0 {
		want = q[0]
		m.model[cpu] = q[1:]
	}
	if got != want {
		m.t.Fatalf("CPU %d takes thread %d from its queue; want %d", cpu, got, want)
	}
	return got
}

// pick makes a CPU go on with what is next: its own, another's, nothing.
func (m *machine) pick(cpu int) {
	next := m.pop(cpu)
	if next < 0 {
		victim, ok := m.c.Victim()
		want := slices.IndexFunc(m.model[:], func(q []int) bool { return len(q) > 0 })
		if ok != (want >= 0) || ok && victim != want {
			m.t.Fatalf("CPU %d takes a thread from CPU %d, %t; want %d", cpu, victim, ok, want)
		}
		if ok {
			next = m.pop(victim)
		}
	}
	m.cur[cpu] = next
	m.c.Runs(cpu, next >= 0)
	if next >= 0 {
		m.state[next], m.last[next] = runs, cpu
	}
}

// step takes one operation from three bytes.
func (m *machine) step(op [3]byte) {
	here := int(op[1]) % m.cpus
	id := int(op[2]) % len(m.threads)
	switch op[0] % 8 {
	case 0, 1, 2:
		if m.state[id] == waits {
			m.wake(here, id, op[0]&64 != 0)
		}
	case 3: // the current thread waits
		if cur := m.cur[here]; cur >= 0 {
			m.state[cur] = waits
			m.pick(here)
		}
	case 4: // its time is over
		if cur := m.cur[here]; cur >= 0 {
			m.push(here, cur, false)
			m.pick(here)
		}
	case 5, 6: // an interrupt wakes the CPU
		if m.cur[here] < 0 {
			m.pick(here)
		}
	case 7:
		if m.cpus < MaxCPUs && op[2]&7 == 0 {
			m.start()
		}
	}
	m.check()
}

func (m *machine) check() {
	m.t.Helper()
	idle, queued := false, false
	seen := make([]int, len(m.threads))
	for cpu := range m.model {
		if m.queue[cpu].Empty() != (len(m.model[cpu]) == 0) {
			m.t.Fatalf("CPU %d has %v, and Empty says %t", cpu, m.model[cpu], m.queue[cpu].Empty())
		}
		for _, id := range m.model[cpu] {
			seen[id]++
		}
		queued = queued || len(m.model[cpu]) > 0
		if cpu < m.cpus {
			idle = idle || m.idles(cpu)
			if m.cur[cpu] >= 0 {
				seen[m.cur[cpu]]++
			}
		}
	}
	for id, n := range seen {
		if want := min(m.state[id], 1); n != want {
			m.t.Fatalf("thread %d is in %d places; want %d", id, n, want)
		}
	}
	if got := m.c.Idles(); got != idle {
		m.t.Fatalf("Idles = %t; want %t", got, idle)
	}
	if _, ok := m.c.Victim(); ok != queued {
		m.t.Fatalf("Victim = %t; want %t", ok, queued)
	}
}

// run takes operations from bytes, and lets every CPU go on until nobody has anything.
func run(t *testing.T, threads []Link, ops []byte) {
	if len(ops) < 2 {
		return
	}
	m := newMachine(t, 1+int(ops[0]%MaxCPUs), threads[:1+ops[1]%maxThreads])
	for ops = ops[2:]; len(ops) >= 3; ops = ops[3:] {
		m.step([3]byte(ops))
	}
	for n := 0; slices.Max(m.state) != waits; n++ {
		if n > len(m.threads) {
			t.Fatal("threads that are ready do not come to run")
		}
		for cpu := range m.cpus {
			m.step([3]byte{3, byte(cpu)})
			m.step([3]byte{5, byte(cpu)})
		}
	}
}

func TestModel(t *testing.T) {
	threads := links(t, maxThreads)
	rounds := 200
	if testing.Short() {
		rounds = 40
	}
	for seed := range rounds {
		r := rand.New(rand.NewPCG(uint64(seed), 5))
		ops := make([]byte, 2+3*300)
		for i := range ops {
			ops[i] = byte(r.Uint32())
		}
		if seed%2 == 0 {
			ops[0] = byte(seed / 2 % 4) // one to four CPUs
		}
		run(t, threads, ops)
	}
}

func FuzzCPUs(f *testing.F) {
	threads := links(f, maxThreads)
	f.Add([]byte{1, 5, 0, 0, 1, 0, 0, 2, 64, 0, 3, 5, 0, 0, 5, 1, 0, 4, 0, 0, 3, 1, 0})
	f.Add([]byte{0, 3, 0, 0, 0, 0, 0, 1, 5, 0, 0, 4, 0, 0, 7, 0, 8, 5, 1, 0})
	f.Fuzz(func(t *testing.T, ops []byte) { run(t, threads, ops[:min(len(ops), 2+3*300)]) })
}

// Threads that yield take turns: none waits for ever behind others.
func TestYieldTakesTurns(t *testing.T) {
	m := newMachine(t, 1, links(t, 3))
	for id := range 3 {
		m.wake(0, id, false)
	}
	m.pick(0)
	var order []int
	for range 6 {
		order = append(order, m.cur[0])
		m.push(0, m.cur[0], false)
		m.pick(0)
	}
	if want := []int{0, 1, 2, 0, 1, 2}; !slices.Equal(order, want) {
		t.Errorf("threads run in the order %v; want %v", order, want)
	}
}

func BenchmarkPushPop(b *testing.B) {
	var c CPUs
	var q Queue
	threads := links(b, 4)
	for i := range threads {
		c.Push(0, &q, uintptr(unsafe.Pointer(&threads[i])), false)
	}
	for range b.N {
		c.Push(0, &q, c.Pop(0, &q), false)
	}
}
