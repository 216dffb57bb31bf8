package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime/pprof"
	"syscall"
)

// profileReads prints the CPU profile of many short waits, random reads of a disk's blocks, and the CPU
// time that they took.
func profileReads(args []string) {
	f, err := os.Open(args[0])
	check(err)
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	check(err)
	var profile bytes.Buffer
	block := make([]byte, 4096)
	check(pprof.StartCPUProfile(&profile))
	before := cpuTime()
	for range 10000 {
		_, err := f.ReadAt(block, rand.Int64N(size/4096)*4096)
		check(err)
	}
	cpu := cpuTime() - before
	pprof.StopCPUProfile()
	fmt.Println("profile", cpu, base64.StdEncoding.EncodeToString(profile.Bytes()))
}

// cpuTime returns the CPU time of the program in nanoseconds.
func cpuTime() int64 {
	var u syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return u.Utime.Nano() + u.Stime.Nano()
}
