package disks

import (
	"encoding/binary"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"
	"unsafe"

	format "github.com/erofs/go-erofs"

	"github.com/yolk-unikernel/yolk/drivers/virtio/blk"
	"github.com/yolk-unikernel/yolk/drivers/virtio/virtiotest"
	"github.com/yolk-unikernel/yolk/runtime/wiring"
	"github.com/yolk-unikernel/yolk/runtime/wiring/wiringtest"
)

func ptr[T any](p *T) unsafe.Pointer { return unsafe.Pointer(p) }

// clean reports whether an ext4 image is marked as unmounted: EXT4_VALID_FS, and no
// journal to replay (INCOMPAT_RECOVER).
func clean(image []byte) bool {
	const super, state, incompat = 1024, 0x3a, 0x60
	return binary.LittleEndian.Uint16(image[super+state:])&1 != 0 && binary.LittleEndian.Uint32(image[super+incompat:])&4 == 0
}

// What a program writes to a disk is there at the next start, however it ended, and the
// disk is unmounted.
func TestWriteAndEnd(t *testing.T) {
	for name, end := range map[string]func(m *wiringtest.Machine){
		"os.Exit":       func(m *wiringtest.Machine) { m.OSExit(0) },
		"panic":         func(m *wiringtest.Machine) { m.Panic() },
		"a mount fails": func(m *wiringtest.Machine) { m.Run(func() { wiring.Exit(1) }) },
		"a signal": func(m *wiringtest.Machine) {
			wiring.Raise(syscall.SIGTERM)
			synctest.Wait()
		},
	} {
		t.Run(name, func(t *testing.T) {
			image := ext4Image(t)
			wiringtest.Bubble(t, func(t *testing.T, m *wiringtest.Machine) {
				d := newDisk(t, m, image, 0)
				d.ID = "data"
				m.Add(d.Device)
				if run(m, "mount=data:/data", "cwd=/data") {
					t.Fatal("the machine has ended")
				}
				if got := m.Cwd(); got != "/data" {
					t.Errorf("the working directory is %s; want /data", got)
				}
				if e := m.WriteFile("hello", "world\n"); e != 0 {
					t.Errorf("writing: %v", e)
				}
				fill(t, m, "/data/large", 300<<10)
				m.WantQuiet()
				if mounts, _ := m.ReadFile("/proc/mounts"); !strings.Contains(mounts, "/dev/vda /data ext4 rw") {
					t.Errorf("/proc/mounts: %q; want /data", mounts)
				}
				d.Device.Do(func() {
					if clean(image) {
						t.Error("the disk is marked clean while it is mounted")
					}
				})
				end(m)
				m.WantQuiet()
				d.Device.Do(func() {
					if !clean(image) || !slices.Equal(d.Durable, d.Data) {
						t.Errorf("the disk is clean: %v, all of it is durable: %v", clean(image), slices.Equal(d.Durable, d.Data))
					}
				})
			})
			wiringtest.Bubble(t, func(t *testing.T, m *wiringtest.Machine) {
				m.Add(newDisk(t, m, image, blk.FeatureReadOnly).Device)
				if run(m, "mount=disk0:/d", "mount=disk0:/e:ro") { // which says the same
					t.Errorf("the machine has ended: %s", m.Output())
				}
				m.WantFile("/d/hello", "world\n")
				if s, e := m.ReadFile("/d/large"); e != 0 || len(s) != 300<<10 || s[256*200] != 200 {
					t.Errorf("the large file has %d bytes, %v", len(s), e)
				}
				if e := m.WriteFile("/d/x", "x"); e != syscall.EROFS {
					t.Errorf("writing to a disk that the host gives read-only: %v; want EROFS", e)
				}
			})
		})
	}
}

// erofsImage makes a read-only image with these files and folders.
func erofsImage(t *testing.T, files fstest.MapFS) []byte {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "image")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := format.Create(f)
	if err := w.CopyFrom(files); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	return append(b, make([]byte, -len(b)&4095)...)
}

// A disk can be the root, from which the program sees the rest of the tree.
func TestRoot(t *testing.T) {
	wiringtest.Bubble(t, func(t *testing.T, m *wiringtest.Machine) {
		image := ext4Image(t)
		m.Add(newDisk(t, m, image, 0).Device)
		if run(m, "root=disk0", "mount=disk0:/srv/again") {
			t.Fatalf("the machine has ended: %s", m.Output())
		}
		if e := m.WriteFile("/file", "on the disk"); e != 0 {
			t.Errorf("writing to the root: %v", e)
		}
		m.WantFile("/srv/again/file", "on the disk")
		m.WantFile("/proc/cmdline", m.Boot.CommandLine+"\n")
		m.OSExit(0)
	})
}

func TestEROFS(t *testing.T) {
	image := erofsImage(t, fstest.MapFS{"hello": {Data: []byte("world\n"), Mode: 0o644}, "dev": dir, "proc": dir, "sys": dir, "tmp": dir})
	wiringtest.Bubble(t, func(t *testing.T, m *wiringtest.Machine) {
		m.Add(newDisk(t, m, image, 0).Device)
		// ro or not is the same here.
		if run(m, "root=disk0", "mount=disk0:/tmp/again:ro") {
			t.Fatalf("the machine has ended: %s", m.Output())
		}
		m.WantFile("/hello", "world\n")
		m.WantFile("/tmp/again/hello", "world\n")
		if e := m.WriteFile("/x", ""); e != syscall.EROFS {
			t.Errorf("writing to the root: %v; want EROFS", e)
		}
		m.OSExit(0)
		m.WantQuiet()
	})
}

var dir = &fstest.MapFile{Mode: os.ModeDir | 0o755}

// What cannot be mounted ends the program with exit status 1 and says why.
func TestCannotMount(t *testing.T) {
	marked := func(at int, mark string) []byte {
		b := make([]byte, 128<<10)
		copy(b[at:], mark)
		return b
	}
	future := ext4Image(t)
	future[1024+0x60+2] |= 0x80 // a feature that nobody knows
	for _, tt := range []struct {
		name  string
		image []byte
		words string
		want  string
	}{
		{"empty", make([]byte, mib), "mount=disk0:/d", "mounting disk0 on /d: vda holds no file system; make one with yolk disk create, or with mkfs.ext4\n"},
		{"XFS", marked(0, "XFSB"), "mount=disk0:/d", "mounting disk0 on /d: vda holds XFS; what can be mounted is ext4 or EROFS: copy the files to a disk of yolk disk create -from DIR\n"},
		{"unknown", marked(77, "hello"), "root=disk0", "mounting disk0 on /: vda holds unknown data; what can be mounted"},
		{"newer ext4", future, "mount=disk0:/d", "mounting disk0 on /d: vda cannot be mounted: "},
		{"broken EROFS", marked(1024, "\xe2\xe1\xf5\xe0"), "mount=disk0:/d", "mounting disk0 on /d: vda cannot be mounted: "},
		{"on a file", ext4Image(t), "mount=disk0:/dev/null", "mounting disk0 on /dev/null: not a directory; it must be a folder, or one that can be made there\n"},
		{"twice, otherwise", ext4Image(t), "mount=disk0:/a mount=disk0:/b:ro", "mounting disk0 on /b: vda is mounted elsewhere with another choice of ro; it must be the same everywhere\n"},
		{"a bare read-only root", ext4Image(t), "root=disk0:ro", "mounting disk0 on /: a read-only root needs the directories dev, proc, sys and tmp: make them in the folder that the image is of, or mount the disk once without ro\n"},
		{"no such disk", ext4Image(t), "mount=disk1:/d", "mounting disk1 on /d: the machine has no device of this tag"},
		{"unreadable", nil, "mount=disk0:/d", "mounting disk0 on /d: vda cannot be read: input/output error\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wiringtest.Bubble(t, func(t *testing.T, m *wiringtest.Machine) {
				image := tt.image
				if image == nil {
					image = make([]byte, mib)
				}
				d := newDisk(t, m, image, 0)
				if tt.image == nil {
					d.Intercept = func(q *virtiotest.Queue, c *virtiotest.Chain) bool {
						if typ, _ := d.Request(c); typ == virtiotest.DiskGetID {
							return false
						}
						d.Answer(q, c, virtiotest.DiskIOErr, 1)
						return true
					}
				}
				m.Add(d.Device)
				if !run(m, tt.words) {
					t.Error("the program goes on")
				}
				if exits, _ := m.Ends(); !slices.Equal(exits, []int{1}) {
					t.Errorf("exit status %v; want 1", exits)
				}
				m.WantOutput("yolk: " + tt.want)
				d.Device.Do(func() {
					if d.Data[1024+0x38] == 0x53 && tt.name != "newer ext4" && !clean(d.Data) {
						t.Error("the disk is not unmounted")
					}
				})
			})
		})
	}
}

// A disk that fails at the end is told of.
func TestUnmountFails(t *testing.T) {
	wiringtest.Bubble(t, func(t *testing.T, m *wiringtest.Machine) {
		d := newDisk(t, m, ext4Image(t), 0)
		m.Add(d.Device)
		run(m, "mount=disk0:/data")
		m.WriteFile("/data/x", "x")
		d.Device.Do(func() {
			d.Intercept = func(q *virtiotest.Queue, c *virtiotest.Chain) bool {
				if typ, _ := d.Request(c); typ == virtiotest.DiskIn {
					return false
				}
				d.Answer(q, c, virtiotest.DiskIOErr, 1)
				return true
			}
		})
		m.OSExit(7)
		if exits, _ := m.Ends(); !slices.Equal(exits, []int{7}) {
			t.Errorf("exit status %v; want 7", exits)
		}
		m.WantOutput("unmounting vda: input/output error; what was not synced before may be lost\n")
	})
}

// slowFS is a file system whose unmounting takes its time, while its disk answers a
// request every so often, if at all.
type slowFS struct {
	fileSystem
	takes, answers time.Duration
}

func (fs slowFS) Unmount() syscall.Errno {
	for end := time.Now().Add(fs.takes); time.Until(end) > 0; {
		if fs.answers == 0 {
			time.Sleep(fs.takes)
			continue
		}
		time.Sleep(fs.answers)
		waiting(1)
		waiting(-1)
	}
	return 0
}

// The end of a program waits for its disks as long as they answer, but not for ever.
func TestUnmountPatience(t *testing.T) {
	for _, tt := range []struct {
		takes, answers time.Duration
		want           time.Duration
		log            string
	}{
		{0, 0, 0, ""},
		{time.Second, 0, time.Second, ""},
		{patience - 1, 0, patience - 1, ""},
		{time.Minute, 4 * time.Second, time.Minute, ""},
		{time.Hour, 0, 2 * patience, "yolk: the disks do not answer and cannot be unmounted; the program ends without that\n"},
		{time.Hour, time.Second, mostPatience, "yolk: the disks are not unmounted after 2 minutes; the program ends without that\n"},
	} {
		wiringtest.Bubble(t, func(t *testing.T, m *wiringtest.Machine) {
			run(m)
			wiring.BeforeExit(unmountInTime)
			mounted = []fileSystem{slowFS{takes: tt.takes, answers: tt.answers}}
			begin := time.Now()
			m.OSExit(7)
			if took, log := time.Since(begin), m.Output(); took != tt.want || log != tt.log {
				t.Errorf("%+v: the end took %v, the console says %q", tt, took, log)
			}
			if exits, _ := m.Ends(); !slices.Equal(exits, []int{7}) {
				t.Errorf("%+v: exit status %v; want 7", tt, exits)
			}
			time.Sleep(2 * time.Hour) // the unmounting ends, too
		})
	}
}

// heldFS is a file system whose unmounting a test ends.
type heldFS struct {
	fileSystem
	begun, end chan bool
}

func (fs heldFS) Unmount() syscall.Errno {
	fs.begun <- true // has room for one
	<-fs.end
	return 0
}

// Who ends the program while another does waits for the same unmounting. (Not in a
// bubble: that does not see that the second waits in a sync.Once.)
func TestTwoEnds(t *testing.T) {
	m := wiringtest.New(t)
	run(m)
	wiring.BeforeExit(unmountInTime)
	fs := heldFS{begun: make(chan bool, 1), end: make(chan bool)}
	mounted = []fileSystem{fs}
	ended := make(chan bool)
	go func() {
		m.OSExit(1)
		ended <- true
	}()
	<-fs.begun
	go func() {
		m.Panic()
		ended <- true
	}()
	wiring.Raise(syscall.SIGTERM)
	if exits, signals := m.Ends(); len(exits)+len(signals) != 0 {
		t.Errorf("exits %v, signals %v before the disks are unmounted", exits, signals)
	}
	close(fs.end)
	<-ended
	<-ended
	if exits, _ := m.Ends(); len(exits) != 2 || len(fs.begun) != 0 {
		t.Errorf("exits %v, unmounted once more: %v", exits, len(fs.begun) != 0)
	}
	for _, signals := m.Ends(); len(signals) != 1; _, signals = m.Ends() {
		runtime.Gosched()
	}
}
