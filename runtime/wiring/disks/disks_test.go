package disks

import (
	"bytes"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/yolk-unikernel/yolk/drivers/virtio"
	"github.com/yolk-unikernel/yolk/drivers/virtio/blk"
	"github.com/yolk-unikernel/yolk/drivers/virtio/virtiotest"
	"github.com/yolk-unikernel/yolk/runtime/wiring/wiringtest"
)

// Linux's virtblk_name_format: as the columns of a spreadsheet.
func TestNames(t *testing.T) {
	for i, want := range map[int]string{0: "vda", 1: "vdb", 25: "vdz", 26: "vdaa", 27: "vdab", 51: "vdaz", 52: "vdba", 701: "vdzz", 702: "vdaaa"} {
		if got := name(i); got != want {
			t.Errorf("disk %d is %s; want %s", i, got, want)
		}
	}
}

// Each disk is a file with its bytes, in the order in which they are found. One that
// cannot be used is told of, and takes no name.
func TestNodes(t *testing.T) {
	wiringtest.Bubble(t, func(t *testing.T, m *wiringtest.Machine) {
		for i, image := range [][]byte{bytes.Repeat([]byte("a"), 4096), bytes.Repeat([]byte("x"), 512), bytes.Repeat([]byte("b"), 512)} {
			d := newDisk(t, m, image, 0)
			d.Device.RefuseDriver = i == 1
			m.Add(d.Device)
		}
		if run(m) {
			t.Fatal("the machine has ended")
		}
		if got, want := m.Output(), "yolk: virtio-blk at mmio 0xfeb00200: "+virtio.ErrFeaturesOK.Error()+"\n"; got != want {
			t.Errorf("the console says %q; want %q", got, want)
		}
		m.WantFile("/dev/vda", strings.Repeat("a", 4096))
		m.WantFile("/dev/vdb", strings.Repeat("b", 512))
		wantError(t, m, "/dev/vdc", syscall.ENOENT)
		for path, want := range map[string]uint64{"/dev/vda": 254 << 8, "/dev/vdb": 254<<8 | 16} {
			var st syscall.Stat_t
			p := &st
			m.Must(syscall.SYS_STAT, path, ptr(p))
			if st.Rdev != want || st.Mode != syscall.S_IFBLK|0o660 {
				t.Errorf("%s: device number %#x, mode %#o; want %#x, a block device", path, st.Rdev, st.Mode, want)
			}
		}
		if n := m.Waiting(); n != 0 {
			t.Errorf("%d goroutines are said to wait", n)
		}
	})
}

// A disk is known by its serial number, else by its place or its name.
func TestFind(t *testing.T) {
	wiringtest.Bubble(t, func(t *testing.T, m *wiringtest.Machine) {
		for _, id := range []string{"data", "", "vda", "disk0"} {
			d := newDisk(t, m, make([]byte, 512), 0)
			d.ID = id
			m.Add(d.Device)
		}
		run(m)
		for tag, want := range map[string]string{
			"data": "vda", "vdb": "vdb", "/dev/vdb": "vdb", "disk1": "vdb", "disk3": "vdd",
			"vda": "vdc", "/dev/vda": "vda", "disk0": "vdd", // serial numbers come first
			"disk4": "", "vde": "", "": "vdb", "disk": "", "dat": "", "/dev/": "", "disk01": "",
		} {
			got := ""
			if k := find(tag); k != nil {
				got = k.name
			}
			if got != want {
				t.Errorf("the disk %q is %q; want %q", tag, got, want)
			}
		}
	})
}

// On PCI, each queue has a message of its own: as many as CPUs, and one that the machine
// would read over.
func TestQueues(t *testing.T) {
	for cpus, want := range map[int]int{1: 1, 2: 2, 8: maxQueues} {
		wiringtest.Bubble(t, func(t *testing.T, m *wiringtest.Machine) {
			m.Boot.CPUs = cpus
			d := newDisk(t, m, bytes.Repeat([]byte("a"), 64<<10), blk.FeatureMultiQueue, 64, 64, 64, 64, 64, 64)
			f := virtiotest.NewPCI(d.Device)
			m.AddPCI(2, f, 10)
			run(m)
			m.WantQuiet()
			used := 0
			for _, q := range d.Device.Queues {
				if q.Ready {
					used++
				}
			}
			if used != want+1 {
				t.Errorf("%d CPUs: %d queues; want %d", cpus, used, want+1)
			}
			for i := range want + 1 {
				if got := f.QueueVector(i); got != uint16(i+1) {
					t.Errorf("%d CPUs: queue %d has vector %d; want %d", cpus, i, got, i+1)
				}
			}
			m.WantFile("/dev/vda", strings.Repeat("a", 64<<10))
		})
	}
}

// When a disk breaks, the console says so once, and what is on it is EIO.
func TestLost(t *testing.T) {
	wiringtest.Bubble(t, func(t *testing.T, m *wiringtest.Machine) {
		d := newDisk(t, m, make([]byte, 4096), 0, 64, 64)
		m.AddPCI(1, virtiotest.NewPCI(d.Device), 10) // several interrupts
		run(m)
		d.Device.NeedReset()
		synctest.Wait()
		if got, want := m.Output(), "yolk: vda is lost: "+virtio.ErrNeedsReset.Error()+"; everything on it is an input/output error from now on\n"; got != want {
			t.Errorf("the console says %q; want %q", got, want)
		}
		wantError(t, m, "/dev/vda", syscall.EIO)
	})
}

// copyOf returns a chain that stays.
func copyOf(c *virtiotest.Chain) *virtiotest.Chain {
	return &virtiotest.Chain{Head: c.Head, Read: slices.Clone(c.Read), Write: slices.Clone(c.Write)}
}

// A request that the host does not answer is told of after half a minute, and goes on.
func TestStalled(t *testing.T) {
	wiringtest.Bubble(t, func(t *testing.T, m *wiringtest.Machine) {
		d := newDisk(t, m, bytes.Repeat([]byte("a"), 4096), 0)
		m.Add(d.Device)
		run(m)
		var q *virtiotest.Queue
		var held []*virtiotest.Chain
		d.Device.Do(func() {
			d.Intercept = func(at *virtiotest.Queue, c *virtiotest.Chain) bool {
				q, held = at, append(held, copyOf(c))
				return true
			}
		})
		read := make(chan syscall.Errno)
		go func() {
			_, e := m.ReadFile("/dev/vda")
			read <- e
		}()
		time.Sleep(29 * time.Second)
		m.WantQuiet()
		time.Sleep(2 * time.Second)
		m.WantOutput("yolk: vda: the host has not answered a read of 4096 bytes at 0 for 30 s; the program waits\n")
		if n := m.Waiting(); n != 1 {
			t.Errorf("%d goroutines are said to wait; want 1", n)
		}
		d.Device.Do(func() {
			d.Intercept = nil
			d.Finish(q, held[0])
		})
		if e := <-read; e != 0 {
			t.Errorf("the read failed: %v", e)
		}
		m.WantQuiet()
	})
	k := &disk{name: "vdb"}
	m := wiringtest.New(t)
	m.Start()
	k.stalled(blk.Flush, 0, 0, 90*time.Second)
	m.WantOutput("yolk: vdb: the host has not answered a flush for 90 s; the program waits\n")
}

// A segment of a page is what the machine reads; fewer than that, and it cannot.
func TestPagesPerRequest(t *testing.T) {
	for _, tt := range []struct {
		info blk.Info
		want int
	}{
		{blk.Info{MaxSegment: 4096, MaxSegments: 30, MaxBytes: mib}, 30},
		{blk.Info{MaxSegment: 65536, MaxSegments: 1000, MaxBytes: mib}, 256},
		{blk.Info{MaxSegment: 4095, MaxSegments: 30, MaxBytes: mib}, 0},
		{blk.Info{MaxSegment: 4096, MaxSegments: 1, MaxBytes: 4096}, 1},
	} {
		if got := pagesPerRequest(tt.info); got != tt.want {
			t.Errorf("%+v: %d pages; want %d", tt.info, got, tt.want)
		}
	}
}

// /proc and /sys show the disks, and count what they do.
func TestDiskFiles(t *testing.T) {
	wiringtest.Bubble(t, func(t *testing.T, m *wiringtest.Machine) {
		d := newDisk(t, m, make([]byte, 64<<10), 0)
		d.ID = "data"
		m.Add(d.Device)
		run(m)
		m.WantFile("/proc/partitions", "major minor  #blocks  name\n\n 254        0         64 vda\n")
		m.WantFile("/sys/block/vda/size", "128\n")
		m.WantFile("/sys/class/block/vda/queue/logical_block_size", "512\n")
		m.WantFile("/sys/block/vda/serial", "data\n")
		column := func(i int) string {
			t.Helper()
			text, e := m.ReadFile("/proc/diskstats")
			if f := strings.Fields(text); e == 0 && len(f) == 20 && f[2] == "vda" {
				return f[i]
			}
			t.Fatalf("/proc/diskstats is %q, %v", text, e)
			return ""
		}
		const reads, readSectors, writes, writtenSectors, inFlight, flushes = 3, 5, 7, 9, 11, 18
		before := column(readSectors)
		fd, e := m.Open("/dev/vda", syscall.O_RDWR)
		if e != 0 {
			t.Fatal(e)
		}
		m.Must(syscall.SYS_WRITE, fd, make([]byte, 4096), 4096)
		m.Must(syscall.SYS_FSYNC, fd)
		m.Must(syscall.SYS_READ, fd, make([]byte, 8192), 8192)
		if column(writes) == "0" || column(writtenSectors) != "8" || column(readSectors) == before || column(reads) == "0" || column(inFlight) != "0" {
			text, _ := m.ReadFile("/proc/diskstats")
			t.Errorf("after a write and a read: %q", text)
		}
		if got := column(flushes); got != "0" && got != "1" { // a disk without a cache needs none
			t.Errorf("%s flushes", got)
		}
	})
}
