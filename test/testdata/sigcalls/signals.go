package main

import (
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

const rt = syscall.Signal(40) // a real-time signal

func queueTo(tid int, sig syscall.Signal, code int32, value uint64) result {
	in := keep(info{code: code, a: int32(os.Getpid()), b: int32(os.Getuid()), value: value})
	return call(syscall.SYS_RT_TGSIGQUEUEINFO, os.Getpid(), tid, sig, unsafe.Pointer(in))
}

// queue: each real-time signal is delivered, in order; other signals once.
func queue() {
	block(rt)
	block(syscall.SIGUSR1)
	note("pending", pending())
	for v := range 3 {
		note("queue", queueTo(tid(), rt, siQueue, uint64(v+7)))
		note("queue", queueTo(tid(), syscall.SIGUSR1, siQueue, uint64(v+17)))
	}
	note("pending", pending() == bit(rt)|bit(syscall.SIGUSR1))
	for range 6 {
		r, in := take(bit(rt)|bit(syscall.SIGUSR1), 0)
		note("take", r, in.signo, in.errno, in.code, in.who(), in.value)
		if r.e != 0 {
			break
		}
	}
	note("pending", pending())
	tgkill(tid(), syscall.SIGUSR1)
	_, in := take(bit(syscall.SIGUSR1), 0)
	note("tgkill", in.code, in.who())
	note("size", call(syscall.SYS_RT_SIGPENDING, unsafe.Pointer(keep(uint64(0))), 16))
	note("fault", call(syscall.SYS_RT_SIGPENDING, 8, 8))
}

func permission() {
	to := func(pid int, sig syscall.Signal, code int32) result {
		return call(syscall.SYS_RT_SIGQUEUEINFO, pid, sig, unsafe.Pointer(keep(info{code: code})))
	}
	self := os.Getpid()
	note("user", to(self, 0, siUser))
	note("kernel", to(self, 0, siKernel))
	note("tkill", to(self, 0, siTkill))
	note("queue", to(self, 0, siQueue))
	note("nobody", to(1<<30, 0, siQueue))
	note("nobody, user", to(1<<30, 0, siUser))
	note("signal", to(self, 65, siQueue))
	note("negative", to(self, -1, siQueue))
	note("fault", call(syscall.SYS_RT_SIGQUEUEINFO, self, 0, 8))
	thread := func(pid, tid int, sig syscall.Signal, code int32) result {
		return call(syscall.SYS_RT_TGSIGQUEUEINFO, pid, tid, sig, unsafe.Pointer(keep(info{code: code})))
	}
	note("thread: itself", thread(self, tid(), 0, siUser))
	note("thread: other", thread(self, self, 0, siUser))
	note("thread: other, tkill", thread(self, self, 0, siTkill))
	note("thread: other, queue", thread(self, self, 0, siQueue))
	note("thread: none", thread(self, 1<<30, 0, siQueue))
	note("thread: zero", thread(self, 0, 0, siQueue))
	note("thread: process", thread(1<<30, self, 0, siQueue))
	note("thread: signal", thread(self, self, 65, siQueue))
	note("thread: fault", call(syscall.SYS_RT_TGSIGQUEUEINFO, self, 0, 0, 8))
	note("tgkill: process", call(syscall.SYS_TGKILL, 1<<30, self, 0))
	note("tgkill: zero", call(syscall.SYS_TGKILL, self, 0, 0))
	note("tgkill: signal", call(syscall.SYS_TGKILL, self, self, 65))
	note("kill: none", call(syscall.SYS_KILL, 1<<30, 0))
}

func wait() {
	set := bit(rt)
	block(rt)
	start := time.Now()
	r, _ := take(set, 30)
	note("timeout", r, time.Since(start) >= 30*time.Millisecond)
	me := tid()
	soon(func() { tgkill(me, rt) })
	r, in := take(set, 10000)
	note("sent", r, in.code, in.who())
	soon(func() { queueTo(me, rt, siQueue, 5) })
	note("no info, no timeout", call(syscall.SYS_RT_SIGTIMEDWAIT, unsafe.Pointer(keep(set)), 0, 0, 8))
	usr2 := notify(syscall.SIGUSR2)
	soon(func() { tgkill(me, syscall.SIGUSR2) })
	r, _ = take(set, 10000)
	note("another signal", r, <-usr2)
	note("size", call(syscall.SYS_RT_SIGTIMEDWAIT, unsafe.Pointer(keep(set)), 0, 0, 4))
	note("set", call(syscall.SYS_RT_SIGTIMEDWAIT, 8, 0, 0, 8))
	note("timeout", call(syscall.SYS_RT_SIGTIMEDWAIT, unsafe.Pointer(keep(set)), 0, unsafe.Pointer(keep(syscall.Timespec{Nsec: 1e9})), 8))
	note("others ran", counts())
}

// counts reports whether a goroutine runs while this thread waits in the system, with one P.
func counts() bool {
	old := runtime.GOMAXPROCS(1)
	defer runtime.GOMAXPROCS(old)
	me := tid()
	go func() {
		for range 10 {
			time.Sleep(time.Millisecond)
		}
		tgkill(me, rt)
	}()
	r, _ := take(bit(rt), 20000)
	return r.e == 0
}

func pause() {
	usr1 := notify(syscall.SIGUSR1)
	me := tid()
	soon(func() { tgkill(me, syscall.SIGUSR1) })
	note("pause", call(syscall.SYS_PAUSE))
	note("signal", <-usr1)
}

func suspend() {
	usr1 := notify(syscall.SIGUSR1)
	block(syscall.SIGUSR1)
	me := tid()
	tgkill(me, syscall.SIGUSR1)
	note("handled while blocked", len(usr1))
	without := mask(sigBlock, 0) &^ bit(syscall.SIGUSR1)
	note("suspend", call(syscall.SYS_RT_SIGSUSPEND, unsafe.Pointer(keep(without)), 8))
	note("signal", <-usr1)
	note("blocked again", mask(sigBlock, 0)&bit(syscall.SIGUSR1) != 0, pending())
	soon(func() { tgkill(me, syscall.SIGUSR1) })
	note("suspend", call(syscall.SYS_RT_SIGSUSPEND, unsafe.Pointer(keep(without)), 8))
	note("signal", <-usr1)
	note("blocked again", mask(sigBlock, 0)&bit(syscall.SIGUSR1) != 0, pending())
	note("size", call(syscall.SYS_RT_SIGSUSPEND, unsafe.Pointer(keep(without)), 4))
	note("fault", call(syscall.SYS_RT_SIGSUSPEND, 8, 8))
}

// process: a signal to the process is pending while all threads block it. No thread may start
// meanwhile, because it would not block the signal.
func process() {
	const sig = rt + 1
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	unheard = true
	defer func() { unheard = false }()
	blockEverywhere(sig)
	catch(sig, handlerPC())
	kill := func(value uint64) result {
		in := keep(info{code: siQueue, a: int32(os.Getpid()), b: int32(os.Getuid()), value: value})
		return call(syscall.SYS_RT_SIGQUEUEINFO, os.Getpid(), sig, unsafe.Pointer(in))
	}
	sent := kill(5)
	again := kill(6)
	first := pending()
	r, in := take(bit(sig), 0)
	second := pending()
	r2, in2 := take(bit(sig), 0)
	r3, _ := take(bit(sig), 0)
	count := handledCount
	kill(7)
	mask(sigUnblock, bit(sig))
	note("send", sent, again)
	note("pending", first == bit(sig), second == bit(sig))
	note("take", r, in.code, in.who(), in.value, r2, in2.value, r3)
	note("handled", count, handledCount, handled.value, pending())
}

// blockEverywhere makes all existing threads block a signal. (The thread of os/signal blocks it
// already, and does not take the signal that notifies the threads.)
func blockEverywhere(sig syscall.Signal) {
	alsoBlock = bit(sig)
	catch(rt, blockerPC())
	for range 3 { // also those that start meanwhile
		for id := os.Getpid(); id < os.Getpid()+200; id++ {
			tgkill(id, rt)
		}
		for n, last := 0, int32(0); n < 20; n++ {
			if now := atomic.LoadInt32(&handledCount); now != last {
				n, last = 0, now
			}
			call(syscall.SYS_NANOSLEEP, unsafe.Pointer(keep(syscall.Timespec{Nsec: 1e6})), 0)
		}
	}
}

func handlerPC() uintptr
func blockerPC() uintptr
func restorerPC() uintptr

// handler_amd64.s writes and reads these.
var (
	handled      info
	handledCount int32
	alsoBlock    uint64
)

// catch makes an assembly function the handler of a signal.
func catch(sig syscall.Signal, pc uintptr) {
	const siginfo, onStack, restorer = 4, 0x08000000, 0x04000000
	handled, handledCount = info{}, 0
	act := keep([4]uintptr{pc, siginfo | onStack | restorer, restorerPC(), 0})
	if r := call(syscall.SYS_RT_SIGACTION, sig, unsafe.Pointer(act), 0, 8); r.e != 0 {
		note("rt_sigaction", r)
	}
}

// handler: a signal's information reaches its handler.
func handler() {
	catch(rt, handlerPC())
	note("queue", queueTo(tid(), rt, siQueue, 1<<40+3))
	note("handled", handledCount, handled.signo, handled.code, handled.who(), handled.value-1<<40)
	note("tgkill", tgkill(tid(), rt))
	note("handled", handledCount, handled.code, handled.who())
	note("queue", queueTo(tid(), rt, 1234, 9))
	note("handled", handledCount, handled.code, handled.value)
	block(rt)
	for v := range 3 {
		queueTo(tid(), rt, siQueue, uint64(v))
	}
	note("blocked", handledCount)
	mask(sigUnblock, bit(rt))
	note("unblocked", handledCount, fmt.Sprint(handled.value))
}
