package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"time"
)

var metricIdle = metric{"VMM CPU when idle, per 10 s", "ms", "less"}

// eachRun boots every system in turn, once per run, and measures with do.
func (b *bench) eachRun(ctx context.Context, m metric, do func(ctx context.Context, s *system, v *vm) error) {
	for range b.runs {
		for _, s := range b.systems {
			if ctx.Err() != nil {
				return
			}
			if err := b.withGuest(ctx, s, do); err != nil {
				b.report.fail(m, s.Name, err)
			}
		}
	}
}

func (b *bench) withGuest(ctx context.Context, s *system, do func(ctx context.Context, s *system, v *vm) error) error {
	if err := setQueue(ctx, bootQueue); err != nil {
		return err
	}
	v, _, err := boot(ctx, s.args(defaultRAM), bootTimeout)
	if err != nil {
		return err
	}
	defer v.kill()
	if err := setQueue(ctx, loadQueue); err != nil {
		return err
	}
	if err := do(ctx, s, v); err != nil {
		return v.failure(err)
	}
	return nil
}

// requests measures HTTP with wrk, at 1 and 32 connections.
func (b *bench) requests(ctx context.Context) {
	seconds := 5
	if b.quick {
		seconds = 2
	}
	b.eachRun(ctx, rateMetric(1), func(ctx context.Context, s *system, v *vm) error {
		if err := sequential(request("/"), 200); err != nil { // the guest's caches are filled now
			return err
		}
		for _, connections := range []int{1, 32} {
			if err := b.rate(ctx, s, v, connections, seconds); err != nil {
				return err
			}
		}
		return nil
	})
}

func rateMetric(connections int) metric {
	return metric{"requests, " + plural(connections), "/s", "more"}
}

func plural(connections int) string {
	if connections == 1 {
		return "1 connection"
	}
	return fmt.Sprintf("%d connections", connections)
}

func (b *bench) rate(ctx context.Context, s *system, v *vm, connections, seconds int) error {
	before, err := v.cpu()
	if err != nil {
		return err
	}
	out, err := command(ctx, "", nil, "wrk", "-t1", "-c", strconv.Itoa(connections), "-d", strconv.Itoa(seconds)+"s", "http://"+webAddr+"/")
	if err != nil {
		return err
	}
	after, err := v.cpu()
	if err != nil {
		return err
	}
	n, perSecond, err := parseWrk(out)
	if err != nil {
		return err
	}
	b.report.add(rateMetric(connections), s.Name, perSecond)
	cpu := metric{"VMM CPU per request, " + plural(connections), "µs", "less"}
	b.report.add(cpu, s.Name, float64((after-before).Microseconds())/n)
	return nil
}

var (
	wrkTotal  = regexp.MustCompile(`(\d+) requests in `)
	wrkRate   = regexp.MustCompile(`Requests/sec:\s+([\d.]+)`)
	wrkErrors = regexp.MustCompile(`(Socket errors|Non-2xx).*`)
)

// parseWrk returns the number of requests and the rate in wrk's report. It returns an error if the
// report has errors.
func parseWrk(out string) (requests, perSecond float64, err error) {
	if e := wrkErrors.FindString(out); e != "" {
		return 0, 0, errors.New("wrk: " + e)
	}
	total, rate := wrkTotal.FindStringSubmatch(out), wrkRate.FindStringSubmatch(out)
	if total == nil || rate == nil {
		return 0, 0, fmt.Errorf("wrk's report is not understood:\n%s", out)
	}
	if requests, err = strconv.ParseFloat(total[1], 64); err != nil || requests == 0 {
		return 0, 0, fmt.Errorf("wrk counted %s requests", total[1])
	}
	perSecond, err = strconv.ParseFloat(rate[1], 64)
	return requests, perSecond, err
}

// streams measures one TCP connection in each direction.
func (b *bench) streams(ctx context.Context) {
	size := int64(64 << 20)
	if b.quick {
		size = 8 << 20
	}
	b.eachRun(ctx, streamMetric('S'), func(_ context.Context, s *system, v *vm) error {
		for _, mode := range []byte{'S', 'R'} {
			if err := b.stream(s, v, mode, size); err != nil {
				return err
			}
		}
		return nil
	})
}

func streamMetric(mode byte) metric {
	return metric{"one TCP stream, " + direction(mode), "Mbit/s", "more"}
}

func direction(mode byte) string {
	if mode == 'S' {
		return "guest to host"
	}
	return "host to guest"
}

func (b *bench) stream(s *system, v *vm, mode byte, size int64) error {
	before, err := v.cpu()
	if err != nil {
		return err
	}
	d, err := streamOnce(mode, size)
	if err != nil {
		return fmt.Errorf("stream, %s: %w", direction(mode), err)
	}
	after, err := v.cpu()
	if err != nil {
		return err
	}
	b.report.add(streamMetric(mode), s.Name, float64(size)*8/1e6/d.Seconds())
	cpu := metric{"VMM CPU per MiB, " + direction(mode), "ms", "less"}
	b.report.add(cpu, s.Name, ms(after-before)/float64(size>>20))
	return nil
}

// idle measures the CPU time of a guest that has served requests and now waits.
func (b *bench) idle(ctx context.Context) {
	const window = 10 * time.Second
	b.eachRun(ctx, metricIdle, func(ctx context.Context, s *system, v *vm) error {
		if err := sequential(request("/"), 10); err != nil {
			return err
		}
		time.Sleep(time.Second) // for the timers of the last answer
		before, err := v.cpu()
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(window):
		}
		after, err := v.cpu()
		if err != nil {
			return err
		}
		if v.dead() {
			return errGuestStopped
		}
		b.report.add(metricIdle, s.Name, ms(after-before))
		return nil
	})
}
