package initfs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// tree makes a directory with one of each kind of entry.
func tree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(filepath.Join(dir, "sub/deep"), 0o750))
	must(os.WriteFile(filepath.Join(dir, "a.txt"), []byte("hello"), 0o640))
	must(os.WriteFile(filepath.Join(dir, "sub/empty"), nil, 0o600))
	must(os.WriteFile(filepath.Join(dir, "sub/deep/run"), []byte("12345678"), 0o755))
	must(os.Symlink("a.txt", filepath.Join(dir, "link")))
	l, err := net.Listen("unix", filepath.Join(dir, "sock"))
	must(err)
	t.Cleanup(func() { l.Close() })
	return dir
}

// list parses an archive: "name mode data" per entry.
func list(t *testing.T, b []byte) []string {
	t.Helper()
	var out []string
	off := 0
	take := func(n int) []byte {
		if off+n > len(b) {
			t.Fatalf("archive ends at %d, inside an entry", off)
		}
		s := b[off : off+n]
		off += n
		return s
	}
	for {
		head := take(110)
		var f [13]int
		if string(head[:6]) != "070701" {
			t.Fatalf("magic %q", head[:6])
		}
		for i := range f {
			fmt.Sscanf(string(head[6+8*i:][:8]), "%08x", &f[i])
		}
		name := strings.TrimRight(string(take(f[11])), "\x00")
		take(-off & 3)
		data := take(f[6])
		take(-off & 3)
		if name == "TRAILER!!!" {
			return out
		}
		out = append(out, fmt.Sprintf("%s %o %s", name, f[1], data))
	}
}

func TestWrite(t *testing.T) {
	dir := tree(t)
	var b bytes.Buffer
	var skipped []string
	n, err := Write(&b, []Source{{dir, "/srv/app"}}, Options{
		Skipped: func(host string, why error) { skipped = append(skipped, filepath.Base(host)) },
	})
	if err != nil {
		t.Fatal(err)
	}
	if n != int64(b.Len()) {
		t.Errorf("Write = %d; wrote %d bytes", n, b.Len())
	}
	want := []string{
		"srv 40755 ",
		"srv/app 40755 ",
		"srv/app/a.txt 100640 hello",
		"srv/app/link 120777 a.txt",
		"srv/app/sub 40750 ",
		"srv/app/sub/deep 40750 ",
		"srv/app/sub/deep/run 100755 12345678",
		"srv/app/sub/empty 100600 ",
	}
	if got := list(t, b.Bytes()); !slices.Equal(got, want) {
		t.Errorf("archive:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if !slices.Equal(skipped, []string{"sock"}) {
		t.Errorf("skipped %v; want the socket", skipped)
	}
}

func TestRootAndSingleFile(t *testing.T) {
	dir := tree(t)
	var b bytes.Buffer
	_, err := Write(&b, []Source{{dir, "/"}, {filepath.Join(dir, "a.txt"), "/etc/b.txt"}}, Options{
		Exclude: func(d fs.DirEntry) bool { return d.Name() == "sub" },
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"a.txt 100640 hello", "link 120777 a.txt", "etc 40755 ", "etc/b.txt 100640 hello"}
	if got := list(t, b.Bytes()); !slices.Equal(got, want) {
		t.Errorf("archive = %q; want %q", got, want)
	}
}

// cpio(1) reads the archive.
func TestCpioReadsIt(t *testing.T) {
	cpio, err := exec.LookPath("cpio")
	if err != nil {
		t.Skip("cpio is not installed")
	}
	var b bytes.Buffer
	if _, err := Write(&b, []Source{{tree(t), "/x"}}, Options{}); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(cpio, "-it", "--quiet")
	cmd.Stdin = &b
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "x/sub/deep/run\n") {
		t.Errorf("cpio -t: %v\n%s", err, out)
	}
}

func TestLimits(t *testing.T) {
	dir := tree(t)
	if _, err := Write(io.Discard, []Source{{dir, "/"}}, Options{MaxBytes: 300}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("Write of too much: %v; want ErrTooLarge", err)
	}
	if _, err := Write(io.Discard, []Source{{filepath.Join(dir, "none"), "/"}}, Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing source: %v; want ErrNotExist", err)
	}
}

// A log file may grow or shrink while it is packed.
func TestSizeChange(t *testing.T) {
	for _, data := range []string{"abc", "abcdefghij"} {
		var b bytes.Buffer
		a := archive{w: &b}
		if err := a.add(entry{name: "f", mode: modeRegular, size: 6}, strings.NewReader(data)); err != nil {
			t.Fatal(err)
		}
		a.close()
		want := (data + "\x00\x00\x00")[:6]
		if got := list(t, b.Bytes()); len(got) != 1 || got[0] != "f 100000 "+want {
			t.Errorf("packed %q as %q; want data %q", data, got, want)
		}
	}
}

func TestParse(t *testing.T) {
	dir := tree(t)
	file := filepath.Join(dir, "a.txt")
	for _, tt := range []struct {
		in, host, guest string
	}{
		{dir, dir, "/"},
		{dir + ":/mnt/", dir, "/mnt"},
		{dir + ":/", dir, "/"},
		{file, file, "/a.txt"},
		{file + ":/etc/x", file, "/etc/x"},
	} {
		got, err := Parse(tt.in)
		if want := (Source{tt.host, tt.guest}); err != nil || got != want {
			t.Errorf("Parse(%q) = %v, %v; want %v", tt.in, got, err, want)
		}
	}
	for _, in := range []string{dir + ":mnt", filepath.Join(dir, "none"), "", ":/x"} {
		if got, err := Parse(in); err == nil {
			t.Errorf("Parse(%q) = %v; want an error", in, got)
		}
	}
}
