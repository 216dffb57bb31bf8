//go:build !yolk

package kernel

import "time"

// These are the clocks of a host, where only tests run.

func wallTime() int64 { return time.Now().UnixNano() }

func sleep(ns int64) { time.Sleep(time.Duration(ns)) }

func afterFunc(ns int64, f func()) alarm {
	return alarm{time.AfterFunc(time.Duration(ns), f).Stop}
}
