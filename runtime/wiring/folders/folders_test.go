package folders

import (
	"encoding/binary"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/hugelgupf/p9/fsimpl/localfs"
	"github.com/hugelgupf/p9/p9"

	"github.com/yolk-unikernel/yolk/drivers/virtio"
	"github.com/yolk-unikernel/yolk/drivers/virtio/virtiotest"
	"github.com/yolk-unikernel/yolk/runtime/wiring"
	"github.com/yolk-unikernel/yolk/runtime/wiring/wiringtest"
)

// A machine that a test starts has folders of its own.
func init() { wiring.OnHostStart(func() { found = nil }) }

const mountTag = 1 << 0 // the device's feature

// newDevice returns a virtio-9p device with a tag, which passes requests to a server one
// after the other.
func newDevice(t *testing.T, m *wiringtest.Machine, tag string, exchange func(request []byte) (answer []byte)) *virtiotest.Device {
	config := append([]byte{byte(len(tag)), 0}, tag...)
	d := virtiotest.NewDevice(virtio.Type9P, m.DeviceMemory(), virtio.FeatureVersion1|mountTag, config, 128)
	d.Answer(t, func(_ int, q *virtiotest.Queue, c *virtiotest.Chain) {
		q.Push(c.Head, uint32(c.Fill(exchange(c.Data(nil)))))
		q.Flush()
	})
	return d
}

// serve starts a server of github.com/hugelgupf/p9 for a folder of the host. It is not
// stopped: the library has a race with itself when a connection ends.
func serve(t *testing.T, dir string) (exchange func(request []byte) []byte) {
	t.Helper()
	ours, theirs := net.Pipe()
	go p9.NewServer(localfs.Attacher(dir)).Handle(theirs, theirs)
	return func(request []byte) []byte {
		if _, err := ours.Write(request); err != nil {
			panic(err)
		}
		head := make([]byte, 4)
		if _, err := io.ReadFull(ours, head); err != nil {
			panic(err)
		}
		answer := make([]byte, binary.LittleEndian.Uint32(head))
		copy(answer, head)
		if _, err := io.ReadFull(ours, answer[4:]); err != nil {
			panic(err)
		}
		return answer
	}
}

// hostFolder makes a folder of the host with one file.
func hostFolder(t *testing.T, name, data string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// start starts the machine of a program that names files.
func start(m *wiringtest.Machine, words ...string) (ended bool) {
	m.Folders = Mount
	return m.Start(words...)
}

// The program and the host see each other's files; one folder is mounted in another, and
// the working directory is in it from the first.
func TestFolders(t *testing.T) {
	m := wiringtest.New(t)
	src, sub := hostFolder(t, "hello", "world\n"), hostFolder(t, "deep", "down\n")
	if err := os.Mkdir(filepath.Join(src, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	var told atomic.Bool
	server := serve(t, src)
	m.Add(newDevice(t, m, "src", func(request []byte) []byte {
		if m.Waiting() > 0 {
			told.Store(true)
		}
		return server(request)
	}))
	m.Add(newDevice(t, m, "sub", serve(t, sub)))
	if start(m, "mount=src:/src", "mount=sub:/src/sub:ro", "cwd=/src/sub") {
		t.Fatalf("the machine has ended: %s", m.Output())
	}
	if got := m.Cwd(); got != "/src/sub" {
		t.Errorf("the working directory is %s; want /src/sub", got)
	}
	m.WantFile("/src/hello", "world\n")
	m.WantFile("deep", "down\n")
	large := string(slices.Repeat([]byte("0123456789abcdef"), 20000))
	if e := m.WriteFile("/src/new", large); e != 0 {
		t.Errorf("writing: %v", e)
	}
	if b, err := os.ReadFile(filepath.Join(src, "new")); string(b) != large {
		t.Errorf("the host has %d bytes, %v; want %d", len(b), err, len(large))
	}
	m.WantFile("/src/new", large)
	if e := m.WriteFile("/src/sub/x", "x"); e != syscall.EROFS {
		t.Errorf("writing to a folder that is mounted ro: %v; want EROFS", e)
	}
	if !told.Load() {
		t.Error("while the server works, no goroutine is said to wait: a program that does nothing else would be a deadlock")
	}
	m.WantQuiet()
}

// One folder can be mounted in several places.
func TestTwoPlaces(t *testing.T) {
	m := wiringtest.New(t)
	m.Add(newDevice(t, m, "src", serve(t, hostFolder(t, "hello", "world\n"))))
	if start(m, "mount=src:/a", "mount=src:/b") {
		t.Fatalf("the machine has ended: %s", m.Output())
	}
	m.WantFile("/a/hello", "world\n")
	m.WantFile("/b/hello", "world\n")
	if e := m.WriteFile("/a/new", "1"); e != 0 {
		t.Errorf("writing: %v", e)
	}
	m.WantFile("/b/new", "1")
	m.WantQuiet()
}

// What cannot be had ends the program with exit status 1 and says why.
func TestCannotMount(t *testing.T) {
	refuse := func([]byte) []byte { // Rlerror, EACCES
		return []byte{11, 0, 0, 0, 7, 0xff, 0xff, byte(syscall.EACCES), 0, 0, 0}
	}
	for _, tt := range []struct {
		name, words string
		device      func(t *testing.T, m *wiringtest.Machine) *virtiotest.Device
		want        string
	}{
		{"no device", "mount=src:/src", nil, "mounting src on /src: the machine has no device of this tag; yolk run -v DIR:/src adds a folder"},
		{"another tag", "mount=scr:/src", func(t *testing.T, m *wiringtest.Machine) *virtiotest.Device {
			return newDevice(t, m, "src", refuse)
		}, "mounting scr on /src: the machine has no device of this tag"},
		{"the server refuses", "mount=src:/src", func(t *testing.T, m *wiringtest.Machine) *virtiotest.Device {
			return newDevice(t, m, "src", refuse)
		}, "mounting src on /src: permission denied; see whether the folder is there, and the user of the VM may read it\n"},
		{"nonsense", "mount=src:/src", func(t *testing.T, m *wiringtest.Machine) *virtiotest.Device {
			return newDevice(t, m, "src", func([]byte) []byte { return []byte("hello") })
		}, "; see whether the folder is there"},
		{"a device without a tag", "mount=src:/src", func(t *testing.T, m *wiringtest.Machine) *virtiotest.Device {
			return newDevice(t, m, "", refuse)
		}, "virtio-9p at mmio 0xfeb00000: virtio-9p: device has no name, or one that is longer than 255 bytes\n"},
		{"twice, otherwise", "mount=src:/a mount=src:/b:ro", func(t *testing.T, m *wiringtest.Machine) *virtiotest.Device {
			return newDevice(t, m, "src", serve(t, t.TempDir()))
		}, "mounting src on /b: it is mounted elsewhere with another choice of ro; it must be the same everywhere\n"},
		{"on a file", "mount=src:/dev/null", func(t *testing.T, m *wiringtest.Machine) *virtiotest.Device {
			return newDevice(t, m, "src", serve(t, t.TempDir()))
		}, "mounting src on /dev/null: not a directory; it must be a folder, or one that can be made there\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := wiringtest.New(t)
			if tt.device != nil {
				m.Add(tt.device(t, m))
			}
			if !start(m, tt.words) {
				t.Error("the program goes on")
			}
			if exits, _ := m.Ends(); !slices.Equal(exits, []int{1}) {
				t.Errorf("exit status %v; want 1", exits)
			}
			m.WantOutput("yolk: ", tt.want)
		})
	}
}

// A broken device is told of, and the others are used.
func TestBrokenDevice(t *testing.T) {
	m := wiringtest.New(t)
	broken := newDevice(t, m, "src", nil)
	broken.RefuseDriver = true
	m.Add(broken)
	m.Add(newDevice(t, m, "src", serve(t, hostFolder(t, "hello", "world\n"))))
	if start(m, "mount=src:/src") {
		t.Fatalf("the machine has ended: %s", m.Output())
	}
	m.WantFile("/src/hello", "world\n")
	if got, want := m.Output(), "yolk: virtio-9p at mmio 0xfeb00000: "+virtio.ErrFeaturesOK.Error()+"\n"; got != want {
		t.Errorf("the console says %q; want %q", got, want)
	}
}

// A folder whose device breaks is told of, and what is in it is EIO.
func TestLost(t *testing.T) {
	m := wiringtest.New(t)
	d := newDevice(t, m, "src", serve(t, hostFolder(t, "hello", "world\n")))
	m.Add(d)
	start(m, "mount=src:/src")
	m.WantFile("/src/hello", "world\n")
	d.NeedReset()
	if s, e := m.ReadFile("/src/hello"); e != syscall.EIO {
		t.Errorf("reading from it: %q, %v; want EIO", s, e)
	}
	m.WantOutput("yolk: /src is lost: ")
}
