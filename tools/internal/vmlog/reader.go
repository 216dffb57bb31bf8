package vmlog

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

// Options choose what a reader shows.
type Options struct {
	Stamps bool      // the time stamp of each line, too
	Since  time.Time // leave out lines before it
	End    bool      // begin at the end, with what comes from now on
}

// Reader copies a log to a writer, from its oldest line on, and can go on as it grows.
type Reader struct {
	dir    string
	opt    Options
	out    *bufio.Writer
	n      int // number of the file; 0 before the first
	f      *os.File
	in     *bufio.Reader
	head   []byte // the beginning of a line: its stamp, or as much as there is of it
	joined bool   // the next stamp is that of a line's second part
	skip   bool   // the line is older than opt.Since
	open   bool   // the last line has no end yet
}

// NewReader returns a reader of the log in a folder, which need not have one yet.
func NewReader(dir string, w io.Writer, opt Options) (*Reader, error) {
	r := &Reader{dir: dir, opt: opt, out: bufio.NewWriter(w)}
	if !opt.End {
		return r, nil
	}
	return r, r.toEnd()
}

// toEnd goes to the end of the newest file.
func (r *Reader) toEnd() error {
	list, err := numbers(r.dir)
	if err != nil || len(list) == 0 {
		return err
	}
	if err := r.openFile(list[len(list)-1]); err != nil {
		return err
	}
	size, err := r.f.Seek(0, io.SeekEnd)
	if err != nil || size == 0 {
		return err
	}
	last := make([]byte, 1)
	if _, err := r.f.ReadAt(last, size-1); err != nil {
		return err
	}
	if last[0] != '\n' {
		r.open, r.head = true, make([]byte, stampLen)
	}
	return nil
}

func (r *Reader) openFile(n int) error {
	f, err := os.Open(fileName(r.dir, n))
	if err != nil {
		return err
	}
	if r.f != nil {
		r.f.Close()
	}
	r.f, r.n, r.in = f, n, bufio.NewReaderSize(f, 64<<10)
	return nil
}

// Copy writes all that has come since the last call.
func (r *Reader) Copy() error {
	for {
		if r.f != nil {
			if err := r.copyFile(); err != nil {
				return err
			}
		}
		more, err := r.next()
		if err != nil {
			return err
		}
		if !more {
			return r.out.Flush()
		}
	}
}

// next opens the next file, if there is one. The old one is read once more first: it may have grown
// since its end was read, but not since there is a next one.
func (r *Reader) next() (bool, error) {
	list, err := numbers(r.dir)
	if errors.Is(err, fs.ErrNotExist) { // the VM has been removed
		return false, nil
	}
	if err != nil || len(list) == 0 || list[len(list)-1] <= r.n {
		return false, err
	}
	if r.f != nil {
		if err := r.copyFile(); err != nil {
			return false, err
		}
	}
	for _, n := range list {
		if n <= r.n {
			continue
		}
		missed := r.n > 0 && n > r.n+1
		if missed {
			r.breakLine()
			fmt.Fprintf(r.out, "yolk: lines are missing here: they came faster than they were read\n")
		}
		before := r.n > 0 || n > 1 // a file came before this one
		err := r.openFile(n)
		if errors.Is(err, fs.ErrNotExist) { // two more have come since
			continue
		}
		if err != nil {
			return false, err
		}
		r.joined = before && !missed && r.open
		r.head = nil
		return true, nil
	}
	return false, nil
}

// copyFile copies the rest of the file.
func (r *Reader) copyFile() error {
	for {
		part, err := r.in.ReadSlice('\n')
		if err := r.copyPart(part); err != nil {
			return err
		}
		switch {
		case err == nil, errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF):
			return nil
		default:
			return err
		}
	}
}

// copyPart copies a line, or a part of one. The stamp of a line may come in parts as well.
func (r *Reader) copyPart(part []byte) error {
	if need := stampLen - len(r.head); need > 0 {
		n := min(need, len(part))
		r.head, part = append(r.head, part[:n]...), part[n:]
		if n < need {
			return nil
		}
		r.begin()
	}
	if len(part) == 0 {
		return nil
	}
	r.open = part[len(part)-1] != '\n'
	if !r.open {
		r.head = r.head[:0]
	}
	if r.skip {
		return nil
	}
	_, err := r.out.Write(part)
	return err
}

// begin begins a line, whose stamp is in r.head.
func (r *Reader) begin() {
	if r.joined {
		r.joined = false
		return
	}
	t, err := time.Parse(stampForm, string(r.head[:len(stampForm)]))
	r.skip = err == nil && t.Before(r.opt.Since)
	if r.opt.Stamps && !r.skip {
		r.out.Write(r.head)
	}
}

// breakLine ends a line that has no end.
func (r *Reader) breakLine() {
	if r.open && !r.skip {
		r.out.WriteByte('\n')
	}
	r.open = false
}

// Close closes the file.
func (r *Reader) Close() error {
	if r.f == nil {
		return nil
	}
	return r.f.Close()
}
