package kernel

import (
	"strings"
	"syscall"
)

// device is a character device without state (null(4), random(4), full(4)).
type device struct {
	Always
	k    *Kernel
	kind deviceKind
	node Inode // the inode that was opened
}

type deviceKind uint8

const (
	devNull deviceKind = iota
	devZero
	devFull
	devRandom
	devURandom
)

// deviceNumbers are those of Linux's admin-guide/devices.txt.
var deviceNumbers = [...]struct {
	name         string
	mode         uint32
	major, minor uint64
}{
	{"null", 0o666, 1, 3},
	{"zero", 0o666, 1, 5},
	{"full", 0o666, 1, 7},
	{"random", 0o666, 1, 8},
	{"urandom", 0o666, 1, 9},
	{"kmsg", 0o644, 1, 11},
	{"tty", 0o666, 5, 0},
	{"console", 0o620, 5, 1},
}

// DeviceNode is a device that the wiring adds to /dev.
type DeviceNode struct {
	Name         string // below /dev, in a folder of /dev or not: net/tun
	Mode         uint32 // type and permissions
	Major, Minor uint64
	Driver       string // as /proc/devices names it
	// Open opens the device; node is the inode through which it is opened.
	Open func(node Inode, flags int) (File, syscall.Errno)
}

func (n *DeviceNode) is(kind uint32, rdev uint64) bool {
	return n.Mode&syscall.S_IFMT == kind && makedev(n.Major, n.Minor) == rdev
}

// AddDevice adds a device to /dev.
func (k *Kernel) AddDevice(n DeviceNode) {
	k.withTree(func() {
		v := &k.vfs
		v.mu.Lock()
		v.devices = append(v.devices, n)
		v.mu.Unlock()
		v.devFS.folderOf(&n).add(n.Name[strings.LastIndexByte(n.Name, '/')+1:], v.devFS.newInode(n.Mode, makedev(n.Major, n.Minor)))
	})
}

// folderOf returns the folder that a device is in, and makes it if it is not there.
func (fs *tmpfs) folderOf(n *DeviceNode) *tmpDir {
	name, _, nested := strings.Cut(n.Name, "/")
	if !nested {
		return fs.root
	}
	fs.root.add(name, fs.newInode(syscall.S_IFDIR|0o755, 0)) // EEXIST is fine
	inode, _ := fs.root.Lookup(name)
	return inode.(*tmpDir)
}

// addedDevice returns a device of AddDevice, or nil.
func (k *Kernel) addedDevice(kind uint32, rdev uint64) *DeviceNode {
	v := &k.vfs
	v.mu.Lock()
	defer v.mu.Unlock()
	for i := range v.devices {
		if v.devices[i].is(kind, rdev) {
			return &v.devices[i]
		}
	}
	return nil
}

// openDevice opens the device node n with number rdev; ENXIO if there is no such
// device.
func (k *Kernel) openDevice(n Inode, flags int, rdev uint64) (File, syscall.Errno) {
	kind := n.Type()
	if d := k.addedDevice(kind, rdev); d != nil {
		return d.Open(n, flags)
	}
	if kind != syscall.S_IFCHR {
		return nil, syscall.ENXIO
	}
	switch rdev {
	case makedev(1, 3):
		return &device{k: k, kind: devNull, node: n}, 0
	case makedev(1, 5):
		return &device{k: k, kind: devZero, node: n}, 0
	case makedev(1, 7):
		return &device{k: k, kind: devFull, node: n}, 0
	case makedev(1, 8):
		return &device{k: k, kind: devRandom, node: n}, 0
	case makedev(1, 9):
		return &device{k: k, kind: devURandom, node: n}, 0
	case makedev(1, 11):
		return &kmsgFile{k: k, node: n}, 0
	case makedev(5, 0), makedev(5, 1):
		if rdev == makedev(5, 0) && !k.opt.Terminal {
			return nil, syscall.ENXIO // tty(4): no controlling terminal
		}
		return &k.console, 0
	}
	return nil, syscall.ENXIO
}

func (d *device) Read(p []byte, _ int64) (int, syscall.Errno) {
	switch d.kind {
	case devNull:
		return 0, 0
	case devRandom: // random(4): waits as getrandom(2) does
		if e := d.k.random.fill(d.k, p); e != 0 {
			return 0, e
		}
	case devURandom: // and this does not
		d.k.m.Random(p, true)
	default:
		clear(p)
	}
	return len(p), 0
}

// Readiness is as Linux has it: /dev/random can be read, or else written.
func (d *device) Readiness() Events {
	switch {
	case d.kind != devRandom:
		return EventIn | EventOut
	case d.k.m.Random(nil, false):
		return EventIn
	}
	return EventOut
}

func (d *device) Queue() *WaitQueue {
	if d.kind != devRandom {
		return nil
	}
	return &d.k.random.queue
}

func (d *device) Write(p []byte, _ int64) (int, syscall.Errno) {
	if d.kind == devFull {
		return 0, syscall.ENOSPC
	}
	return len(p), 0
}

func (d *device) Stat(st *syscall.Stat_t) syscall.Errno { return d.node.Stat(st) }

// SeekTo does nothing and succeeds, as Linux's null_lseek.
func (d *device) SeekTo(int64, int, int64) (int64, syscall.Errno) { return 0, 0 }

// buildDev fills /dev.
func (k *Kernel) buildDev() *tmpfs {
	fs := newTmpfs(k, "devtmpfs", 5)
	for _, d := range deviceNumbers {
		n := fs.newInode(syscall.S_IFCHR|d.mode, makedev(d.major, d.minor))
		fs.root.add(d.name, n)
	}
	for _, l := range [...][2]string{
		{"fd", "/proc/self/fd"}, {"stdin", "/proc/self/fd/0"}, {"stdout", "/proc/self/fd/1"}, {"stderr", "/proc/self/fd/2"},
	} {
		fs.root.Symlink(l[0], l[1])
	}
	fs.root.add("shm", fs.newInode(syscall.S_IFDIR|syscall.S_ISVTX|0o777, 0))
	fs.root.add("mqueue", fs.newInode(syscall.S_IFDIR|syscall.S_ISVTX|0o777, 0))
	return fs
}
