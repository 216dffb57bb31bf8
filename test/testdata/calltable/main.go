// Calltable makes every system call of docs/syscalls.md, which it reads from /docs, and reports
// answers that do not match the table's level. /data is a disk.
package main

import (
	"fmt"
	_ "net" // links sockets
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// row is a line of the table.
type row struct {
	nr                uintptr
	name, level, note string
}

func main() {
	if len(os.Args) > 1 {
		end(os.Args[1])
	}
	time.AfterFunc(time.Minute, func() {
		fmt.Println("wrong: hangs")
		os.Exit(1)
	})
	done := make(chan bool)
	go func() { // on a thread that can be interrupted
		runtime.LockOSThread()
		for _, r := range table() {
			fmt.Println("call", r.nr, r.name)
			if wrong := r.check(); wrong != "" {
				fmt.Println("wrong:", r.nr, r.name, "is "+r.level+":", wrong)
			}
		}
		close(done)
	}()
	<-done
	fmt.Println("done")
}

// table reads the rows.
func table() (rows []row) {
	text, err := os.ReadFile("/docs/syscalls.md")
	if err != nil {
		fmt.Println("wrong:", err)
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Split(strings.TrimSpace(line), "|")
		if len(f) != 6 {
			continue
		}
		if nr, err := strconv.Atoi(strings.TrimSpace(f[1])); err == nil {
			rows = append(rows, row{uintptr(nr), strings.TrimSpace(f[2]), strings.TrimSpace(f[3]), strings.TrimSpace(f[4])})
		}
	}
	return rows
}

// elsewhere are the calls that end the machine or the thread: function end makes them.
var elsewhere = map[string]bool{"exit": true, "exit_group": true, "reboot": true}

// check makes the call and returns what is wrong.
func (r row) check() string {
	if elsewhere[r.name] {
		return ""
	}
	if r.level == "partial" {
		return r.checkPartial()
	}
	e := r.probe()
	switch {
	case r.level == "none" && e != syscall.ENOSYS:
		return fmt.Sprintf("answers %v; want ENOSYS", e)
	case r.level == "full" || r.level == "machine":
		if e == syscall.ENOSYS {
			return "answers ENOSYS"
		}
	case r.level == "stub":
		want, named := firstErrno(r.note)
		if named && e != want || !named && e == syscall.ENOSYS {
			return fmt.Sprintf("answers %v; the note says %q", e, r.note)
		}
	}
	return ""
}

// checkPartial checks that a form of the call succeeds.
func (r row) checkPartial() string {
	form := forms[r.name]
	if form == nil {
		return "calltable knows no form that succeeds"
	}
	if e := form(r.nr); e != 0 {
		return fmt.Sprintf("no form succeeds: %v", e)
	}
	return ""
}

// firstErrno returns the error at the start of a note; 0 for "accepted".
func firstErrno(note string) (e syscall.Errno, named bool) {
	word, _, _ := strings.Cut(note, " ")
	e, named = map[string]syscall.Errno{
		"ENOSYS": syscall.ENOSYS, "EPERM": syscall.EPERM, "EINVAL": syscall.EINVAL, "ECHILD": syscall.ECHILD, "accepted": 0, "0": 0,
	}[strings.TrimRight(word, ":;")]
	return e, named
}

// probe makes the call with arguments that change nothing: zeroes, or those in probes.
func (r row) probe() syscall.Errno {
	if f := probes[r.name]; f != nil {
		return f(r.nr)
	}
	return call(r.nr)
}

// end makes a call that does not return.
func end(how string) {
	switch how {
	case "exit": // ends the thread; others continue
		go func() {
			time.Sleep(50 * time.Millisecond)
			fmt.Println("another thread")
			syscall.Exit(7)
		}()
		runtime.LockOSThread()
		call(syscall.SYS_EXIT, 3)
	case "exit_group":
		call(syscall.SYS_EXIT_GROUP, 5)
	case "reboot":
		const magic1, magic2, powerOff = 0xfee1dead, 672274793, 0x4321fedc
		call(syscall.SYS_REBOOT, magic1, magic2, powerOff)
	}
	fmt.Println("wrong:", how, "returns")
	os.Exit(1)
}
