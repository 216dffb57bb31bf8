package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

var (
	metricSize      = metric{"image: kernel and program", "MB", "less"}
	metricBoot      = metric{"VMM exec to first HTTP 200", "ms", "less"}
	metricBootCPU   = metric{"VMM CPU to first HTTP 200", "ms", "less"}
	metricEmpty     = metric{"VMM alone, exec to exit", "ms", "less"}
	metricEmptyCPU  = metric{"VMM alone, CPU", "ms", "less"}
	metricSmallest  = metric{"smallest RAM, 1,000 requests", "MiB", "less"}
	errBootTimeout  = errors.New("no answer in time")
	errGuestStopped = errors.New("the guest stopped")
)

const bootTimeout = 60 * time.Second

func (b *bench) imageSize(context.Context) {
	for _, s := range b.systems {
		b.report.add(metricSize, s.Name, float64(s.Image)/1e6)
	}
}

// boot measures the time to the first answer, each system in turn.
func (b *bench) boot(ctx context.Context) {
	if err := setQueue(ctx, bootQueue); err != nil {
		b.failAll(metricBoot, err)
		return
	}
	for range b.runs {
		for _, s := range b.systems {
			if ctx.Err() != nil {
				return
			}
			b.bootOnce(ctx, s)
		}
		b.emptyOnce(ctx)
	}
}

func (b *bench) bootOnce(ctx context.Context, s *system) {
	v, wall, err := boot(ctx, s.args(defaultRAM), bootTimeout)
	if err != nil {
		b.report.fail(metricBoot, s.Name, err)
		return
	}
	v.kill()
	b.report.add(metricBoot, s.Name, ms(wall))
	b.report.add(metricBootCPU, s.Name, ms(v.usedCPU()))
}

// emptyOnce measures a guest that ends at once. It is added to both systems' rows, so that it can be
// subtracted.
func (b *bench) emptyOnce(ctx context.Context) {
	e := system{Machine: "microvm,acpi=off,rtc=on,pit=on,pic=on", Kernel: b.empty}
	v, err := start(ctx, e.args(defaultRAM, "-device", "isa-debug-exit,iobase=0xf4,iosize=4"))
	if err != nil {
		b.failAll(metricEmpty, err)
		return
	}
	select {
	case <-v.done:
	case <-time.After(10 * time.Second):
		v.kill()
		b.failAll(metricEmpty, v.failure(errBootTimeout))
		return
	}
	wall := time.Since(v.started)
	for _, s := range b.systems {
		b.report.add(metricEmpty, s.Name, ms(wall))
		b.report.add(metricEmptyCPU, s.Name, ms(v.usedCPU()))
	}
}

func (b *bench) failAll(m metric, err error) {
	for _, s := range b.systems {
		b.report.fail(m, s.Name, err)
	}
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// boot starts a guest and returns it when it has answered an HTTP request, with the time from just
// before exec. A new attempt starts every 2 ms; a connection that is not established after 10 ms is
// dropped, and there is no new attempt while one is established.
func boot(ctx context.Context, args []string, limit time.Duration) (*vm, time.Duration, error) {
	v, err := start(ctx, args)
	if err != nil {
		return nil, 0, err
	}
	wall, err := v.firstAnswer(ctx, limit)
	if err != nil {
		v.kill()
		return nil, 0, v.failure(err)
	}
	return v, wall, nil
}

// bootQuietly boots without a request until the program reports that it listens: each early
// connection would be a packet that the guest has to refuse, and would count among the instructions
// of its start.
func bootQuietly(ctx context.Context, args []string, limit time.Duration) (*vm, error) {
	v, err := start(ctx, args)
	if err != nil {
		return nil, err
	}
	deadline := time.Now().Add(limit)
	for !strings.Contains(v.console.String(), "listening") {
		if err = ctx.Err(); err == nil && v.dead() {
			err = errGuestStopped
		} else if err == nil && time.Now().After(deadline) {
			err = fmt.Errorf("%w (%v)", errBootTimeout, limit)
		}
		if err != nil {
			v.kill()
			return nil, v.failure(err)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return v, nil
}

func (v *vm) firstAnswer(ctx context.Context, limit time.Duration) (time.Duration, error) {
	answered := make(chan time.Duration, 1)
	var up atomic.Int32
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(limit)
	for {
		select {
		case d := <-answered:
			return d, nil
		case <-v.done:
			return 0, errGuestStopped
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-timeout:
			return 0, fmt.Errorf("%w (%v)", errBootTimeout, limit)
		case <-tick.C:
			if up.Load() == 0 {
				go v.attempt(&up, answered)
			}
		}
	}
}

func (v *vm) attempt(up *atomic.Int32, answered chan<- time.Duration) {
	c, err := net.DialTimeout("tcp4", webAddr, 10*time.Millisecond)
	if err != nil {
		return
	}
	defer c.Close()
	up.Add(1)
	defer up.Add(-1)
	c.SetDeadline(time.Now().Add(5 * time.Second))
	fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || r.StatusCode != http.StatusOK {
		return
	}
	select {
	case answered <- time.Since(v.started):
	default:
	}
}

// These bound the search for the smallest RAM, in MiB.
const (
	leastRAM = 4
	mostRAM  = 256
)

// smallestRAM searches, by bisection, the smallest RAM with which a guest boots and serves 1,000
// requests, and then confirms it once.
func (b *bench) smallestRAM(ctx context.Context) {
	if b.quick {
		return
	}
	for _, s := range b.systems {
		low, high := leastRAM, mostRAM // low fails, high works
		var last error
		for high-low > 1 && ctx.Err() == nil {
			middle := (low + high) / 2
			if err := serves(ctx, s, middle); err != nil {
				low, last = middle, err
			} else {
				high = middle
			}
		}
		if err := serves(ctx, s, high); err != nil {
			b.report.fail(metricSmallest, s.Name, errors.Join(err, last))
			continue
		}
		b.report.add(metricSmallest, s.Name, float64(high))
	}
}

// serves boots a guest with ram MiB of RAM and sends 1,000 requests.
func serves(ctx context.Context, s *system, ram int) error {
	v, _, err := boot(ctx, s.args(ram), 15*time.Second)
	if err != nil {
		return err
	}
	defer v.kill()
	return sequential(request("/"), 1000)
}
