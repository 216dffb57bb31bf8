package wiring_test

import (
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/yolk-unikernel/yolk/runtime/wiring"
	"github.com/yolk-unikernel/yolk/runtime/wiring/wiringtest"
)

// during is called by the machine's start when it mounts what the host offers.
var during func(words []string)

func mountFolders(words []string) { during(words) }

// When folders are mounted, the kernel serves system calls, the console's input comes,
// and the collector knows its limit; the working directory is entered after that, since
// it may be in a folder.
func TestStartOrder(t *testing.T) {
	wiringtest.Bubble(t, func(t *testing.T, m *wiringtest.Machine) {
		calls := 0
		during = func(words []string) {
			calls++
			if got := m.Cwd(); got != "/" {
				t.Errorf("the working directory is %q before folders are mounted; want /", got)
			}
			m.Must(syscall.SYS_MKDIR, "/srv", 0o755)
			if len(words) != 2 || words[1] != "cwd=/srv" {
				t.Errorf("words = %q; want those of the command line", words)
			}
			m.Type([]byte("x"))
			if m.HeapLimit() == 0 {
				t.Error("the collector has no limit yet")
			}
		}
		m.Folders = mountFolders
		if m.Start("hostname=h", "cwd=/srv") {
			t.Fatal("the machine has ended")
		}
		if calls != 1 {
			t.Errorf("folders were mounted %d times; want once", calls)
		}
		if got := m.Cwd(); got != "/srv" {
			t.Errorf("the working directory is %q; want /srv", got)
		}
		synctest.Wait()
		b := make([]byte, 8)
		if n, e := m.Call(syscall.SYS_READ, 0, b, len(b)); n != 1 || e != 0 || b[0] != 'x' {
			t.Errorf("what was typed while folders were mounted: %q, %v; want x", b[:max(n, 0)], e)
		}
		m.WantQuiet()
	})
}

// In a program that carries package disks, nothing is mounted and no directory entered
// before that package asks for it: a folder may be mounted below a disk.
func TestDisksDelayMount(t *testing.T) {
	wiringtest.Bubble(t, func(t *testing.T, m *wiringtest.Machine) {
		calls := 0
		during = func([]string) { calls++ }
		m.Folders, m.Disks = mountFolders, true
		m.Start("cwd=/tmp")
		if calls != 0 || m.Cwd() != "/" {
			t.Errorf("folders mounted %d times, working directory %q before the disks are there; want 0, /", calls, m.Cwd())
		}
		wiring.Mount(func([]string) { t.Error("the words were served without the folders' code, which is linked") })
		if calls != 1 || m.Cwd() != "/tmp" {
			t.Errorf("folders mounted %d times, working directory %q; want 1, /tmp", calls, m.Cwd())
		}
	})
}

// Disks serve the words themselves in a program that names no files.
func TestMountWithoutFolders(t *testing.T) {
	wiringtest.Bubble(t, func(t *testing.T, m *wiringtest.Machine) {
		m.Disks = true
		m.Start("mount=disk0:/data")
		var got []string
		wiring.Mount(func(words []string) { got = words })
		if len(got) != 1 || got[0] != "mount=disk0:/data" {
			t.Errorf("words = %q", got)
		}
	})
}

func TestCwd(t *testing.T) {
	for _, tt := range []struct {
		name  string
		words []string
		want  string
		log   string // then the program does not start, if it names files
	}{
		{"none", nil, "/", ""},
		{"absolute", []string{"cwd=/tmp"}, "/tmp", ""},
		{"relative to the root", []string{"cwd=tmp"}, "/tmp", ""},
		{"the last one counts", []string{"cwd=/tmp", "cwd=/etc"}, "/etc", ""},
		{"missing", []string{"cwd=/missing"}, "/", "yolk: the working directory /missing: no such file or directory\n"},
		{"a file", []string{"cwd=/dev/null"}, "/", "yolk: the working directory /dev/null: not a directory\n"},
		{"empty", []string{"cwd="}, "/", "yolk: the working directory : no such file or directory\n"},
		{"with a blank", []string{`"cwd=/no such"`}, "/", "yolk: the working directory /no such: no such file or directory\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wiringtest.Bubble(t, func(t *testing.T, m *wiringtest.Machine) {
				m.Folders = mountFolders
				during = func([]string) {}
				ended := m.Start(tt.words...)
				if got, log := m.Cwd(), m.Output(); got != tt.want || log != tt.log || ended != (tt.log != "") {
					t.Errorf("%q: working directory %q, console %q, ended %v; want %q, %q", tt.words, got, log, ended, tt.want, tt.log)
				}
			})
			wiringtest.Bubble(t, func(t *testing.T, m *wiringtest.Machine) {
				if ended := m.Start(tt.words...); ended || m.Cwd() != tt.want {
					t.Errorf("%q: a program that names no files: ended %v, working directory %q", tt.words, ended, m.Cwd())
				}
				m.WantQuiet()
			})
		})
	}
}
