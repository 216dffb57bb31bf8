package vmlog

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"
)

// Writer writes the files. Its methods may be called concurrently.
type Writer struct {
	mu     sync.Mutex
	dir    string
	max    int64 // bytes of a file
	n      int   // number of the file
	f      *os.File
	size   int64 // bytes in it
	inLine bool  // the last line has no end yet
	failed error // of the last write, which the caller is not told of
	now    func() time.Time
}

// Open continues the log in a folder, or begins one.
func Open(dir string) (*Writer, error) { return open(dir, MaxFile, time.Now) }

func open(dir string, size int64, now func() time.Time) (*Writer, error) {
	list, err := numbers(dir)
	if err != nil {
		return nil, err
	}
	w := &Writer{dir: dir, max: size, n: 1, now: now}
	if len(list) > 0 {
		w.n = list[len(list)-1]
	}
	if err := w.openFile(); err != nil {
		return nil, err
	}
	w.breakLine() // the writer before may have been killed in the middle of one
	return w, w.failed
}

// openFile opens file n to write at its end.
func (w *Writer) openFile() error {
	f, err := os.OpenFile(fileName(w.dir, w.n), os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return err
	}
	w.f, w.size = f, info.Size()
	if last := make([]byte, 1); w.size > 0 {
		if _, err := f.ReadAt(last, w.size-1); err != nil {
			f.Close()
			return err
		}
		w.inLine = last[0] != '\n'
	}
	return nil
}

// Write appends what the guest has written. It reports no error, because the guest is not to stop
// when the disk is full: what could not be written is missing, and Err tells of it.
func (w *Writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for rest := p; len(rest) > 0; {
		n := len(rest)
		if room := w.room(); room < int64(n) {
			n = cut(rest, int(max(room, 0)))
		}
		w.append(rest[:n])
		if rest = rest[n:]; len(rest) > 0 || w.size >= w.max {
			w.rotate()
		}
	}
	return len(p), nil
}

// Note appends a line that yolk has to say.
func (w *Writer) Note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.breakLine()
	w.append(fmt.Appendf(nil, "yolk: "+format+"\n", args...))
	if w.size >= w.max {
		w.rotate()
	}
}

func (w *Writer) room() int64 { return w.max - w.size }

// cut returns where to cut p for a file with room for that many bytes: after the last line that fits,
// or in a line that does not.
func cut(p []byte, room int) int {
	if i := bytes.LastIndexByte(p[:room], '\n'); i >= 0 {
		return i + 1
	}
	if i := bytes.IndexByte(p, '\n'); i >= 0 && i < longLine {
		return i + 1
	}
	return min(max(room, longLine), len(p))
}

// longLine is how far a line may reach beyond the size of a file before it is cut, in bytes.
const longLine = 4096

// append writes p, with a stamp at the start of each line, in one call: then no line is lost
// between two.
func (w *Writer) append(p []byte) {
	var b bytes.Buffer
	s := stamp(w.now())
	for line := range bytes.Lines(p) {
		if !w.inLine {
			b.WriteString(s)
		}
		b.Write(line)
		w.inLine = line[len(line)-1] != '\n'
	}
	if w.f == nil {
		return
	}
	n, err := w.f.Write(b.Bytes())
	w.size += int64(n)
	if err != nil {
		w.failed = err
	}
}

// breakLine ends a line that has no end.
func (w *Writer) breakLine() {
	if w.inLine {
		w.append([]byte("\n"))
	}
}

// rotate begins the next file and removes the one before the last. A line that goes on gets a stamp
// there, which readers leave out.
func (w *Writer) rotate() {
	old := w.f
	w.n++
	inLine := w.inLine
	if err := w.openFile(); err != nil {
		w.n--
		w.failed = err
		return
	}
	old.Close()
	if err := os.Remove(fileName(w.dir, w.n-2)); err != nil && !os.IsNotExist(err) {
		w.failed = err
	}
	if w.inLine = false; inLine {
		w.appendContinued()
	}
}

// appendContinued writes the stamp of a line's second part.
func (w *Writer) appendContinued() {
	n, err := w.f.WriteString(stamp(w.now()))
	w.size += int64(n)
	if err != nil {
		w.failed = err
	}
	w.inLine = true
}

// Err returns the last error of writing.
func (w *Writer) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failed
}

// Close closes the file.
func (w *Writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.f == nil {
		return fs.ErrClosed
	}
	err := w.f.Close()
	w.f = nil
	return err
}
