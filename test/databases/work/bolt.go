package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"strconv"

	bolt "go.etcd.io/bbolt"
)

func init() { stores["bolt"] = openBolt }

type boltStore struct{ db *bolt.DB }

func openBolt(path string) (store, error) {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, err
	}
	db, err := bolt.Open(path+"/db", 0o644, nil)
	if err != nil {
		return nil, err
	}
	return boltStore{db}, nil
}

func (s boltStore) close() error { return s.db.Close() }

func key(n int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(n)) }

func (s boltStore) change(n int) error {
	return s.db.Update(func(tx *bolt.Tx) error {
		a, err := tx.CreateBucketIfNotExists([]byte("accounts"))
		if err != nil {
			return err
		}
		log, err := tx.CreateBucketIfNotExists([]byte("log"))
		if err != nil {
			return err
		}
		from, to, amount := transfer(n)
		for _, move := range [][2]int{{from, -amount}, {to, amount}} {
			v := initial
			if b := a.Get(key(move[0])); b != nil {
				v, _ = strconv.Atoi(string(b))
			}
			if err := a.Put(key(move[0]), strconv.AppendInt(nil, int64(v+move[1]), 10)); err != nil {
				return err
			}
		}
		return log.Put(key(n), payload(n))
	})
}

func (s boltStore) state() (n int, err error) {
	err = s.db.View(func(tx *bolt.Tx) error {
		for err := range tx.Check() {
			return err
		}
		log, a := tx.Bucket([]byte("log")), tx.Bucket([]byte("accounts"))
		if log == nil {
			return nil
		}
		c := log.Cursor()
		for k, v := c.First(); k != nil; k, v = c.Next() {
			n++
			if !bytes.Equal(k, key(n)) || !bytes.Equal(v, payload(n)) {
				return fmt.Errorf("entry %d of the log is %x with %d bytes", n, k, len(v))
			}
		}
		for i, want := range balances(n) {
			got := initial
			if b := a.Get(key(i)); b != nil {
				got, _ = strconv.Atoi(string(b))
			}
			if got != want {
				return fmt.Errorf("account %d has %d after %d changes; want %d", i, got, n, want)
			}
		}
		return nil
	})
	return n, err
}
