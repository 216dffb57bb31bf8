// Command scaling measures the effect of more CPUs: it hashes and sorts with a goroutine per CPU, five
// seconds each, and prints the work done per second. make scaling runs it with one CPU and with two, in
// turn.
package main

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

func main() {
	data := make([]byte, 64<<10)
	measure("hash", func(*rand.Rand) { sha256.Sum256(data) })
	measure("sort", func(r *rand.Rand) {
		list := make([]int, 20_000)
		for i := range list {
			list[i] = r.Int()
		}
		slices.Sort(list)
	})
}

// measure does work on all CPUs.
func measure(name string, work func(r *rand.Rand)) {
	var done atomic.Int64
	var wg sync.WaitGroup
	began := time.Now()
	for i := range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(i)))
			for time.Since(began) < 5*time.Second {
				work(r)
				done.Add(1)
			}
		})
	}
	wg.Wait()
	fmt.Printf("%d CPUs: %s %.1f per second\n", runtime.GOMAXPROCS(0), name, float64(done.Load())/time.Since(began).Seconds())
}
