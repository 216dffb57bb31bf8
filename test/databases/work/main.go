// Command work changes databases and files in a folder, and prints for each change when it is
// durable. The state that it finds must be one between two changes, not older than the last
// acknowledged one.
//
//	work run DIR ROUNDS    continue from the existing state
//	work check DIR         print the state
//
// Each store has a state that its number of changes determines: bolt (go.etcd.io/bbolt), sqlite
// (modernc.org/sqlite, with a journal and with a WAL) and files (written to a new file, renamed over
// the old one). A line "ack NAME N" says that change N is durable, "state NAME N" reports a state,
// and "wrong: ..." an error.
package main

import (
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strconv"
	"sync"
)

// A store has a state that is determined by a number of changes.
type store interface {
	// state checks everything and returns the number of changes.
	state() (int, error)
	// change makes change n (the first is 1) and returns when it is durable.
	change(n int) error
	close() error
}

var stores = map[string]func(path string) (store, error){}

func main() {
	if len(os.Args) < 3 {
		fmt.Println("usage: work run DIR ROUNDS | work check DIR")
		os.Exit(2)
	}
	var wg sync.WaitGroup
	for name, open := range stores {
		wg.Go(func() {
			s, err := open(filepath.Join(os.Args[2], name))
			if err != nil {
				wrong(name, err)
			}
			n, err := s.state()
			if err != nil {
				wrong(name, err)
			}
			fmt.Println("state", name, n)
			if os.Args[1] == "run" {
				rounds, _ := strconv.Atoi(os.Args[3])
				run(name, s, n, rounds)
			}
			if err := s.close(); err != nil {
				wrong(name, err)
			}
		})
	}
	wg.Wait()
	fmt.Println("done")
}

func wrong(name string, err error) {
	fmt.Printf("wrong: %s: %v\n", name, err)
	os.Exit(1)
}

func run(name string, s store, from, rounds int) {
	for n := from + 1; n <= from+rounds; n++ {
		if err := s.change(n); err != nil {
			wrong(name, err)
		}
		fmt.Println("ack", name, n)
	}
}

// Databases have accounts, between which money is transferred, and a log with the data of each
// change.
const (
	accounts = 64
	initial  = 1000
)

// transfer returns the transfer of change n.
func transfer(n int) (from, to, amount int) { return n * 7 % accounts, (n*13 + 1) % accounts, n % 50 }

// balances are the accounts after n changes.
func balances(n int) []int {
	b := make([]int, accounts)
	for i := range b {
		b[i] = initial
	}
	for i := 1; i <= n; i++ {
		from, to, amount := transfer(i)
		b[from] -= amount
		b[to] += amount
	}
	return b
}

// payload is the data of change n in the log.
func payload(n int) []byte {
	b := make([]byte, 4+n*37%3000)
	for i := range b {
		b[i] = byte(n + i*n)
	}
	sum := crc32.ChecksumIEEE(b[4:])
	b[0], b[1], b[2], b[3] = byte(sum), byte(sum>>8), byte(sum>>16), byte(sum>>24)
	return b
}
