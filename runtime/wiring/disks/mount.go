package disks

import (
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/yolk-unikernel/yolk/kernel"
	"github.com/yolk-unikernel/yolk/kernel/fs/erofs"
	"github.com/yolk-unikernel/yolk/kernel/fs/ext4fs"
	"github.com/yolk-unikernel/yolk/kernel/fs/fsprobe"
	"github.com/yolk-unikernel/yolk/runtime/wiring"
	"github.com/yolk-unikernel/yolk/runtime/wiring/pages"
)

// mounted are the file systems in the order in which they were mounted; mounting
// is held by who changes that.
var (
	mounting sync.Mutex
	mounted  []fileSystem
)

// fileSystem is what a disk can hold: ext4fs.FS or erofs.FS.
type fileSystem interface {
	kernel.FileSystem
	// Unmount writes everything back.
	Unmount() syscall.Errno
}

// mount mounts the disk of a tag: it is a mounts.Mounter.
func mount(tag, path string, readOnly bool) (is bool, why string) {
	k := find(tag)
	if k == nil {
		return false, ""
	}
	mounting.Lock()
	why = k.open(readOnly)
	mounting.Unlock()
	if why != "" {
		return true, k.name + " " + why
	}
	return true, k.mount(path)
}

// find returns the disk with that serial number, else the one of that place
// (disk0) or name (vda, /dev/vda); nil if there is none.
func find(tag string) *disk {
	for _, k := range found {
		if k.serial == tag {
			return k
		}
	}
	for i, k := range found {
		if tag == "disk"+strconv.Itoa(i) || strings.TrimPrefix(tag, "/dev/") == k.name {
			return k
		}
	}
	return nil
}

// open opens the disk's file system unless it is open, and returns why it cannot
// be.
func (k *disk) open(readOnly bool) (why string) {
	if k.fs != nil && k.fs.Type() == "erofs" {
		return ""
	}
	readOnly = readOnly || k.ReadOnly()
	if k.fs != nil {
		if k.readOnly != readOnly {
			return "is mounted elsewhere with another choice of ro; it must be the same everywhere"
		}
		return ""
	}
	kind, e := fsprobe.Probe(k)
	switch {
	case e != 0:
		return "cannot be read: " + e.Error()
	case kind == fsprobe.Empty:
		return "holds no file system; make one with yolk disk create, or with mkfs.ext4"
	case kind != fsprobe.Ext4 && kind != fsprobe.EROFS:
		return "holds " + kind + "; what can be mounted is ext4 or EROFS: copy the files to a disk of yolk disk create -from DIR"
	}
	if len(mounted) == 0 {
		wiring.BeforeExit(unmountInTime)
	}
	fs, err := k.read(kind, readOnly)
	if err != nil {
		return "cannot be mounted: " + err.Error()
	}
	k.fs, k.readOnly = fs, readOnly
	mounted = append(mounted, fs)
	return ""
}

// read makes a file system of what fsprobe found.
func (k *disk) read(kind string, readOnly bool) (fileSystem, error) {
	log := func(line string) { wiring.Kernel.Log(k.name + ": " + line) }
	if kind == fsprobe.EROFS {
		return erofs.Mount(k, erofs.Options{Kernel: wiring.Kernel, Cache: pages.Cache(), Dev: k.number, Reader: k.reader, Log: log})
	}
	return ext4fs.Mount(k, ext4fs.Options{Kernel: wiring.Kernel, Cache: pages.Cache(), ReadOnly: readOnly, Dev: k.number, Reader: k.reader, Log: log})
}

// mount puts the disk's file system in the tree.
func (k *disk) mount(path string) (why string) {
	source := "/dev/" + k.name
	if path == "/" {
		if e := wiring.Kernel.MountRoot(k.fs, source); e == syscall.ENOENT {
			return "a read-only root needs the directories dev, proc, sys and tmp: make them in the folder that the image is of, or mount the disk once without ro"
		} else if e != 0 {
			return e.Error()
		}
		return ""
	}
	if e := wiring.Kernel.Mount(path, k.fs, source); e != 0 {
		return e.Error() + "; it must be a folder, or one that can be made there"
	}
	return ""
}

// patience is how long the end of a program waits for disks that answer nothing, and
// mostPatience how long for those that do: a tenth of the RAM may have to be written.
const (
	patience     = 5 * time.Second
	mostPatience = 2 * time.Minute
)

var unmountOnce sync.Once

// unmountInTime calls unmountAll once, as long as the disks answer; who comes
// second waits for the first.
func unmountInTime() {
	unmountOnce.Do(func() {
		done := make(chan struct{})
		go func() {
			unmountAll()
			close(done)
		}()
		ticks := time.NewTicker(patience)
		defer ticks.Stop()
		begin := time.Now()
		for last := int64(-1); ; {
			select {
			case <-done:
				return
			case <-ticks.C:
			}
			now := answered.Load()
			if now == last {
				wiring.Kernel.Log("the disks do not answer and cannot be unmounted; the program ends without that")
				return
			}
			if time.Since(begin) >= mostPatience {
				wiring.Kernel.Log("the disks are not unmounted after 2 minutes; the program ends without that")
				return
			}
			last = now
		}
	})
}

// unmountAll writes everything back and marks the disks clean, when the program
// ends.
func unmountAll() {
	mounting.Lock() // and for good
	for i := len(mounted) - 1; i >= 0; i-- {
		if e := mounted[i].Unmount(); e != 0 {
			wiring.Kernel.Log("unmounting " + nameOf(mounted[i]) + ": " + e.Error() + "; what was not synced before may be lost")
		}
	}
}

func nameOf(fs fileSystem) string {
	for _, k := range found {
		if k.fs == fs {
			return k.name
		}
	}
	return "a disk"
}
