// Command diskguest measures a disk from inside a guest, on yolk and on Linux: it is the only program
// there. Its disk is mounted on /data and has the file /data/cold. It prints a line for each result,
// name=value, in values per second.
package main

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"time"

	_ "modernc.org/sqlite"

	"github.com/yolk-unikernel/yolk/tools/debian/boot"
)

const (
	dir   = "/data"
	block = 4096
)

func main() {
	boot.Start()
	boot.Mount(dir)
	rows := []struct {
		name string
		do   func() (int, error)
	}{
		{"coldsequential", coldSequential},
		{"coldrandom", coldRandom},
		{"writesequential", writeSequential},
		{"writerandom", writeRandom},
		{"overwritesync", overwriteSync},
		{"create", create},
		{"delete", remove},
		{"sqlitecommit", sqliteCommits},
		{"sqliteinsert", sqliteInserts},
	}
	for _, r := range rows {
		began := time.Now()
		n, err := r.do()
		if err != nil {
			fmt.Printf("%s: %v\n", r.name, err)
			break
		}
		fmt.Printf("%s=%.1f\n", r.name, float64(n)/time.Since(began).Seconds())
	}
	fmt.Println("end")
	boot.End(dir)
}

// coldSequential reads the first half of a file that is not cached.
func coldSequential() (int, error) {
	f, err := os.Open(dir + "/cold")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	n := int(st.Size() / 2 / block)
	b := make([]byte, block)
	for range n {
		if _, err := f.Read(b); err != nil {
			return 0, err
		}
	}
	return n, nil
}

// coldRandom reads blocks of the other half.
func coldRandom() (int, error) {
	f, err := os.Open(dir + "/cold")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	half := int(st.Size() / 2 / block)
	r := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, block)
	const n = 3000
	for range n {
		if _, err := f.ReadAt(b, int64(half+r.IntN(half))*block); err != nil {
			return 0, err
		}
	}
	return n, nil
}

// writeSequential writes a new file and syncs it once.
func writeSequential() (int, error) {
	f, err := os.Create(dir + "/new")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	b := make([]byte, block)
	const n = 8192
	for i := range n {
		b[0] = byte(i)
		if _, err := f.Write(b); err != nil {
			return 0, err
		}
	}
	return n, f.Sync()
}

// writeRandom overwrites blocks of the file of writeSequential and syncs it once.
func writeRandom() (int, error) {
	f, err := os.OpenFile(dir+"/new", os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	r := rand.New(rand.NewPCG(3, 4))
	b := make([]byte, block)
	const n = 4096
	for range n {
		if _, err := f.WriteAt(b, int64(r.IntN(8192))*block); err != nil {
			return 0, err
		}
	}
	return n, f.Sync()
}

// overwriteSync repeatedly overwrites a block and syncs.
func overwriteSync() (int, error) {
	f, err := os.OpenFile(dir+"/new", os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	b := make([]byte, block)
	const n = 1000
	for i := range n {
		b[0] = byte(i)
		if _, err := f.WriteAt(b, int64(i%64)*block); err != nil {
			return 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, err
		}
	}
	return n, nil
}

const files = 10000

// create makes files of a few bytes in one directory, and syncs the directory.
func create() (int, error) {
	many := dir + "/many"
	if err := os.Mkdir(many, 0o755); err != nil {
		return 0, err
	}
	for i := range files {
		if err := os.WriteFile(filepath.Join(many, strconv.Itoa(i)), []byte("content"), 0o644); err != nil {
			return 0, err
		}
	}
	return files, syncFile(many)
}

func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

func remove() (int, error) {
	if err := os.RemoveAll(dir + "/many"); err != nil {
		return 0, err
	}
	return files, syncFile(dir)
}

func openDB() (*sql.DB, error) {
	db, err := sql.Open("sqlite", dir+"/db")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	_, err = db.Exec("create table if not exists t (id integer primary key, name text, value blob)")
	return db, err
}

// sqliteCommits inserts rows, each in a transaction of its own.
func sqliteCommits() (int, error) {
	db, err := openDB()
	if err != nil {
		return 0, err
	}
	defer db.Close()
	const n = 100
	for i := range n {
		if _, err := db.Exec("insert into t (name, value) values (?, ?)", strconv.Itoa(i), make([]byte, 100)); err != nil {
			return 0, err
		}
	}
	return n, nil
}

// sqliteInserts inserts rows in one transaction.
func sqliteInserts() (int, error) {
	db, err := openDB()
	if err != nil {
		return 0, err
	}
	defer db.Close()
	tx, err := db.Begin()
	if err != nil {
		return 0, err
	}
	const n = 2000
	for i := range n {
		if _, err := tx.Exec("insert into t (name, value) values (?, ?)", strconv.Itoa(i), make([]byte, 100)); err != nil {
			return 0, err
		}
	}
	return n, tx.Commit()
}
