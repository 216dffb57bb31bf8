// Command debug is the program that the tests debug.
package main

import (
	"bufio"
	"fmt"
	"os"
)

type job struct {
	name string
	size int
}

// worker waits for jobs, with locals that a debugger can show.
//
//go:noinline
func worker(id int, jobs chan job) {
	label := fmt.Sprintf("worker-%d", id)
	total := 1000 * id
	for j := range jobs {
		total += j.size
	}
	fmt.Println(label, total)
}

// spin leaves the CPU only when it is preempted.
//
//go:noinline
func spin(j *job, started chan<- bool) {
	close(started)
	for j.size >= 0 {
		j.size ^= 1
	}
}

//go:noinline
func fail(j *job) {
	if j.size > 41 {
		panic(j.name)
	}
}

func main() {
	for id := range 3 {
		jobs := make(chan job)
		go worker(id+1, jobs)
		jobs <- job{"first", 1}
		jobs <- job{"second", 0} // received when the first is done
	}
	switch os.Args[1] {
	case "panic":
		fail(&job{"too large", 42})
	case "exit":
		os.Exit(3)
	case "spin":
		started := make(chan bool)
		go spin(&job{"spinner", 1}, started)
		<-started
	}
	fmt.Println("waiting")
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		fmt.Println("got", lines.Text())
	}
}
