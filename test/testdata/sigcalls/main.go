// Sigcalls makes the system calls about signals, timers and the ends of threads, and prints their
// results. It prints the same on Linux.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"
)

var cases = []struct {
	name string
	run  func()
}{
	{"queue", queue},
	{"permission", permission},
	{"wait", wait},
	{"pause", pause},
	{"suspend", suspend},
	{"process", process},
	{"handler", handler},
	{"interval", interval},
	{"alarm", alarm},
	{"virtual", virtual},
	{"timers", timers},
	{"timer signals", timerSignals},
	{"overrun", overrun},
	{"CPU timers", cpuTimers},
	{"thread's end", threadEnd},
	{"robust list", robustList},
	{"clocks", clocks},
	{"descriptors", descriptors},
	{"rest", rest},
}

func init() { runtime.LockOSThread() } // the main thread, whose ID is the process's

func main() {
	time.AfterFunc(time.Minute, func() { // leaves no thread behind
		fmt.Println("hangs")
		os.Exit(1)
	})
	if len(os.Args) > 1 && os.Args[1] == "clock" {
		setClock()
		return
	}
	for _, c := range cases {
		fmt.Println(c.name)
		// Each on a thread of its own, which ends with its goroutine.
		done := make(chan bool)
		go func() {
			defer close(done)
			runtime.LockOSThread()
			block(syscall.SIGURG) // Go's preemption could end a wait
			c.run()
		}()
		<-done
	}
	fmt.Println("pause on the main thread")
	block(syscall.SIGURG)
	got := notify(syscall.SIGALRM)
	call(syscall.SYS_ALARM, 1)
	note("pause", call(syscall.SYS_PAUSE))
	note("signal", <-got)
	fmt.Println("done")
}

func note(what string, v ...any) { fmt.Println(append([]any{"  " + what + ":"}, v...)...) }

// notify passes a signal to a channel.
func notify(sig syscall.Signal) chan os.Signal {
	c := make(chan os.Signal, 100)
	signal.Notify(c, sig)
	return c
}
