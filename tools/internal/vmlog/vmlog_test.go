package vmlog

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// The test binary is also a process that writes a log until it is killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv("YOLK_TEST_LOG"); dir != "" {
		w, err := open(dir, 1<<20, time.Now)
		if err != nil {
			panic(err)
		}
		for i := 0; ; i++ {
			fmt.Fprintf(w, "line %d\n", i)
			fmt.Println(i)
		}
	}
	os.Exit(m.Run())
}

// clock returns times a second apart.
func clock() func() time.Time {
	t := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	return func() time.Time { t = t.Add(time.Second); return t }
}

func newWriter(t *testing.T, dir string, size int64) *Writer {
	t.Helper()
	w, err := open(dir, size, clock())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

// all reads a whole log.
func all(t *testing.T, dir string, opt Options) string {
	t.Helper()
	var b bytes.Buffer
	r, err := NewReader(dir, &b, opt)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.Copy(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// What the guest writes comes back byte for byte, in whatever pieces it was written.
func TestRoundTrip(t *testing.T) {
	text := "one\n\ntwo\r\n\x00\xff three\nno end"
	for size := 1; size <= len(text); size++ {
		dir := t.TempDir()
		w := newWriter(t, dir, MaxFile)
		for p := []byte(text); len(p) > 0; p = p[min(size, len(p)):] {
			w.Write(p[:min(size, len(p))])
		}
		if got := all(t, dir, Options{}); got != text {
			t.Errorf("in pieces of %d: %q; want %q", size, got, text)
		}
	}
}

// A line has the time of its first byte.
func TestStampsAndSince(t *testing.T) {
	dir := t.TempDir()
	w := newWriter(t, dir, MaxFile)
	for _, s := range []string{"a", "b\n", "c\nd\n"} {
		w.Write([]byte(s))
	}
	w.Note("the %s", "end")
	want := "2026-01-02T03:04:06.000000Z ab\n2026-01-02T03:04:08.000000Z c\n2026-01-02T03:04:08.000000Z d\n2026-01-02T03:04:09.000000Z yolk: the end\n"
	if got := all(t, dir, Options{Stamps: true}); got != want {
		t.Errorf("%q; want %q", got, want)
	}
	if got := all(t, dir, Options{Since: time.Date(2026, 1, 2, 3, 4, 8, 0, time.UTC)}); got != "c\nd\nyolk: the end\n" {
		t.Errorf("since the third second: %q", got)
	}
}

// The log is bounded, and its newest lines are whole.
func TestRotation(t *testing.T) {
	dir := t.TempDir()
	const size = 1000
	w := newWriter(t, dir, size)
	for i := range 500 {
		fmt.Fprintf(w, "line %d\n", i)
	}
	list, err := numbers(dir)
	if err != nil || len(list) != 2 || list[0] < 5 {
		t.Fatalf("files %v, %v; want the two newest", list, err)
	}
	for _, n := range list {
		if info, err := os.Stat(fileName(dir, n)); err != nil || info.Size() > size+50 {
			t.Errorf("file %d: %v, %v; want at most %d bytes", n, info.Size(), err, size)
		}
	}
	lines := strings.Split(strings.TrimSuffix(all(t, dir, Options{}), "\n"), "\n")
	for i, line := range lines {
		if want := fmt.Sprintf("line %d", 500-len(lines)+i); line != want {
			t.Fatalf("line %q; want %q", line, want)
		}
	}
	if len(lines) < 20 {
		t.Errorf("only %d lines are left", len(lines))
	}
}

// A line that is longer than a file is cut, and read as one.
func TestLongLine(t *testing.T) {
	dir := t.TempDir()
	w := newWriter(t, dir, 6000)
	text := strings.Repeat("0123456789", 900) + "\nnext\n"
	w.Write([]byte(text))
	if got := all(t, dir, Options{}); got != text {
		t.Errorf("%d bytes; want the %d that were written (%.50q …)", len(got), len(text), got)
	}
	if list, _ := numbers(dir); len(list) != 2 {
		t.Errorf("files %v; want two", list)
	}
}

// A reader that goes on gets each line once, through rotations, however short its look is.
func TestFollow(t *testing.T) {
	dir := t.TempDir()
	w := newWriter(t, dir, 500)
	var b, want bytes.Buffer
	r, err := NewReader(dir, &b, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 300 {
		part := fmt.Sprintf("part %d;", i)
		if i%3 == 0 {
			part += "\n"
		}
		want.WriteString(part)
		w.Write([]byte(part))
		if i%7 == 0 {
			if err := r.Copy(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := r.Copy(); err != nil || b.String() != want.String() {
		t.Errorf("%v, read %q; want %q", err, b.String(), want.String())
	}
}

// A reader that is too slow says so.
func TestFollowTooSlow(t *testing.T) {
	dir := t.TempDir()
	w := newWriter(t, dir, 200)
	var b bytes.Buffer
	r, _ := NewReader(dir, &b, Options{})
	fmt.Fprintln(w, "first")
	r.Copy()
	for i := range 100 {
		fmt.Fprintf(w, "line %d\n", i)
	}
	r.Copy()
	if got := b.String(); !strings.HasPrefix(got, "first\n") || strings.Count(got, "lines are missing here") != 1 || !strings.HasSuffix(got, "line 99\n") {
		t.Errorf("%q; want the first, the newest, and a word between", got)
	}
}

// A reader that begins at the end sees what comes next, and the rest of a line that was begun.
func TestFromEnd(t *testing.T) {
	for _, before := range []string{"", "old\n", "old\nprompt> "} {
		dir := t.TempDir()
		w := newWriter(t, dir, MaxFile)
		w.Write([]byte(before))
		var b bytes.Buffer
		r, err := NewReader(dir, &b, Options{End: true})
		if err != nil {
			t.Fatal(err)
		}
		w.Write([]byte("new\n"))
		if err := r.Copy(); err != nil || b.String() != "new\n" {
			t.Errorf("after %q: %q, %v; want what is new", before, b.String(), err)
		}
	}
}

// No line that was written is lost when the writer is killed, and the next writer begins a line.
func TestKilledWriter(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var said bytes.Buffer
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "YOLK_TEST_LOG="+dir)
	cmd.Stdout = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond)
	cmd.Process.Kill()
	cmd.Wait()
	acknowledged := strings.Fields(said.String())
	w := newWriter(t, dir, 1<<20)
	w.Note("after")
	lines := strings.Split(strings.TrimSuffix(all(t, dir, Options{}), "\n"), "\n")
	if last := lines[len(lines)-1]; last != "yolk: after" {
		t.Errorf("the last line is %q", last)
	}
	have := map[string]bool{}
	for _, l := range lines {
		have[l] = true
	}
	if len(acknowledged) > 0 && !have["line "+acknowledged[len(acknowledged)-1]] {
		t.Errorf("line %s was written and is lost", acknowledged[len(acknowledged)-1])
	}
}

// The guest goes on when nothing can be written.
func TestFullDisk(t *testing.T) {
	w := newWriter(t, t.TempDir(), MaxFile)
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	w.f = full
	if n, err := w.Write([]byte("lost\n")); n != 5 || err != nil {
		t.Errorf("Write = %d, %v; want that it goes on", n, err)
	}
	if w.Err() == nil {
		t.Error("nothing tells of it")
	}
}
