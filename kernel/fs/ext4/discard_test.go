package ext4

import (
	"bytes"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/yolk-unikernel/yolk/kernel/fs/block/blocktest"
)

// The blocks of a long file are discarded once they are durably free, and not before; no
// read returns what a discard leaves there (0xd5 on this disk).
func TestDiscard(t *testing.T) {
	d := load(t, mkfs(t, "32M"))
	f := mount(t, d, Options{})
	r := root(t, f)
	text := []byte("a line of the file\n")
	long, short := bytes.Repeat(text, 200_000), bytes.Repeat(text, 1000)
	writeFile(t, r, "long", long)
	writeFile(t, r, "short", short)
	ok(t, f.Sync())
	ok(t, r.Unlink("long"))
	ok(t, r.Unlink("short"))
	left := func() int { return bytes.Count(d.Bytes(), text) }
	if n := left(); n < 190_000 {
		t.Errorf("%d lines are on the disk before the change is durable", n)
	}
	before := f.Stat().Free
	ok(t, f.Sync())
	f.waitDiscards()
	if n := left(); n > 20_000 || n < 900 { // the short file, and the ends of the long one
		t.Errorf("%d lines are on the disk after it", n)
	}
	if after := f.Stat().Free; after != before {
		t.Errorf("%d blocks are free, %d were", after, before)
	}
	writeFile(t, r, "again", long)
	ok(t, f.Sync())
	i := walk(t, f, "again")
	got, e := readAll(i)
	i.Put()
	ok(t, e)
	same(t, "again", got, long)
	r.Put()
	unmount(t, f)
}

// A disk whose device cannot discard, or fails to, works all the same.
func TestDiscardFails(t *testing.T) {
	for _, e := range []syscall.Errno{syscall.EOPNOTSUPP, syscall.EIO} {
		d := blocktest.NewFaulty(load(t, mkfs(t, "16M")))
		tries := 0
		d.SetRule(func(r blocktest.Request) syscall.Errno {
			if r.Kind == blocktest.Discard {
				tries++
				return e
			}
			return 0
		})
		var log string
		f := mount(t, d, Options{Discard: 4096, Log: func(s string) { log += s }})
		r := root(t, f)
		data := pattern(1, 5<<20)
		for i := range 5 { // more than fit at the same time
			name := fmt.Sprint("file", i)
			writeFile(t, r, name, data)
			ok(t, r.Unlink(name))
		}
		ok(t, f.Sync())
		f.waitDiscards()
		if tries != 1 || strings.Contains(log, "discard") != (e == syscall.EIO) {
			t.Errorf("%v: %d discards were tried, log %q", e, tries, log)
		}
		r.Put()
		unmount(t, f)
	}
}
