// Package attack floods VMs of two sizes with what a hostile network can send, one kind after
// another, while a client that behaves well asks for pages. The VM must serve it and must not use
// more than a quarter of its RAM for the attack. Frames go over QEMU's card as UDP datagrams; no
// privileges are needed.
//
//	go test ./test/attack -v              prints the table of docs/network.md
//	make attack FOR=1h                    all rows take so long together
package attack

import (
	"flag"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/yolk-unikernel/yolk/test/internal/vm"
)

var length = flag.Duration("for", 60*time.Second, "how long all rows take together")

func TestMain(m *testing.M) { vm.Main(m) }

// mostGrowth is how many percent of the RAM an attack may take.
const mostGrowth = 25

// A victim is a VM under attack.
type victim struct {
	*network
	vm       *vm.VM
	ram      int // MiB
	baseline int // KiB in use before
}

// A score is the outcome of a row for one VM.
type score struct {
	peak    int // KiB in use at most, beyond those before
	frames  int
	served  int           // pages
	slowest time.Duration // page
}

func (s score) String() string {
	return fmt.Sprintf("%5.1f MiB, %4d pages, slowest %4.1f s, %6d frames", float64(s.peak)/1024, s.served, s.slowest.Seconds(), s.frames)
}

func TestAttack(t *testing.T) {
	sizes := []int{64, 256}
	each := *length / time.Duration(len(rows)*len(sizes))
	for _, ram := range sizes {
		for i := range rows {
			t.Run(fmt.Sprintf("%d MiB/%s", ram, rows[i].name), func(t *testing.T) { attack(t, &rows[i], ram, each) })
		}
	}
}

// start boots the guest and waits until it serves.
func start(t *testing.T, ram int) *victim {
	n := newNetwork(t)
	n.scale = ram / 64
	v := &victim{network: n, ram: ram}
	v.vm = vm.Start(t, vm.Options{
		Target:  "./test/attack/testdata/guest",
		Flags:   []string{"-m", fmt.Sprintf("%dM", ram), "-net", n.Flag},
		Timeout: *length + 10*time.Minute,
	})
	v.vm.WaitFor("serving")
	for range 20 { // so that the heap has its size
		v.vm.Eventually(func() error {
			_, err := n.get("/")
			return err
		})
	}
	_, v.baseline = v.peak(t)
	return v
}

// peak returns how many KiB of the guest's memory were in use at most since the last call, and are
// now.
func (v *victim) peak(t *testing.T) (peak, now int) {
	t.Helper()
	v.vm.Eventually(func() error {
		text, err := v.get("/peak")
		if err != nil {
			return err
		}
		_, err = fmt.Sscan(text, &peak, &now)
		return err
	})
	return peak, now
}

// patience is how long an attack goes on when no page is served: an emulated guest on a busy host
// is slow.
const patience = time.Minute

// attack runs one row for a while, and until a page was served during it, with a VM of its own.
func attack(t *testing.T, r *row, ram int, d time.Duration) {
	v := start(t, ram)
	done := make(chan score)
	end := time.Now().Add(d)
	var pages atomic.Int64
	more := func() bool {
		now := time.Now()
		return now.Before(end) || pages.Load() == 0 && now.Before(end.Add(patience))
	}
	go v.visit(more, &pages, done)
	frames := r.run(v.network, more)
	s := <-done
	s.frames = frames
	peak, _ := v.peak(t)
	s.peak = peak - v.baseline
	t.Log(s)
	if limit := v.ram * 1024 * mostGrowth / 100; s.peak > limit {
		t.Errorf("the guest uses %d KiB more than before; want %d at most", s.peak, limit)
	}
	if s.served == 0 {
		t.Error("no page was served during the attack")
	}
}

// visit asks for pages and counts them until the attack is over.
func (v *victim) visit(more func() bool, pages *atomic.Int64, done chan<- score) {
	var s score
	for more() {
		began := time.Now()
		if text, err := v.get("/"); err == nil && text == "hello\n" {
			s.served++
			pages.Add(1)
			s.slowest = max(s.slowest, time.Since(began))
		}
		time.Sleep(20 * time.Millisecond)
	}
	done <- s
}
