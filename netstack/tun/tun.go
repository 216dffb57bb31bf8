// Package tun is /dev/net/tun: network cards whose other side is a program, which reads what the stack
// sends and writes what the stack receives, as IP packets (TUN) or as Ethernet frames (TAP). It follows
// Documentation/networking/tuntap.rst and drivers/net/tun.c of Linux.
//
// A card is a netstack.Port. One file is attached to it at a time: several queues (IFF_MULTI_QUEUE),
// NAPI and segments of UDP are refused, as by a Linux that has none of them.
//
// Start reading at Devices.Open, File.Ioctl (ioctl.go), File.Read and File.Write.
package tun

import (
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/yolk-unikernel/yolk/kernel"
	"github.com/yolk-unikernel/yolk/netstack"
)

// errBadState is EBADFD: a file without a card, or whose card is gone.
const errBadState = syscall.EBADFD

// Sizes and defaults of drivers/net/tun.c.
const (
	tunQueue = 500   // TUN_READQ_SIZE: frames that wait for the program
	tapQueue = 1000  // DEFAULT_TX_QUEUE_LEN
	mtu      = 1500  // bytes
	maxMTU   = 65535 // bytes, of TUN
	ethernet = 14    // bytes, of a frame's header
)

// Devices are the cards that programs have made.
type Devices struct {
	stack  *netstack.Stack
	random func(p []byte) // for the addresses of Ethernet cards

	mu     sync.Mutex
	byName map[string]*device // by the name that they were made with
}

// New returns devices of a stack.
func New(s *netstack.Stack, random func(p []byte)) *Devices {
	return &Devices{stack: s, random: random, byName: map[string]*device{}}
}

// Open opens /dev/net/tun: kernel.DeviceNode.
func (d *Devices) Open(node kernel.Inode, _ int) (kernel.File, syscall.Errno) {
	return &File{devices: d, node: node}, 0
}

// device is a card.
type device struct {
	devices *Devices
	port    *netstack.Port
	kind    uint16               // flagTun or flagTap
	file    atomic.Pointer[File] // that is attached
	gone    atomic.Bool          // removed by RTM_DELLINK

	mu           sync.Mutex // guards all below
	options      uint16     // flagNoPI, flagHeader, flagPersist, flagOneQueue
	headerSize   int        // of struct virtio_net_hdr, bytes
	offload      uint32     // TUN_F_ bits
	sendBuffer   int32
	little       uint32 // 1: TUNSETVNETLE
	owner, group uint32
}

// A File is an open /dev/net/tun.
type File struct {
	devices *Devices
	node    kernel.Inode
	queue   kernel.WaitQueue
	device  atomic.Pointer[device]

	mu      sync.Mutex // guards pending
	pending [][]byte   // segments of a frame that the program reads one by one
}

// attach gives the file a card with a name, which may be a pattern with %d, or "". It returns the name.
func (f *File) attach(name string, flags uint16) (string, syscall.Errno) {
	kind := uint16(flagTun)
	switch {
	case flags&flagTun == 0 && flags&flagTap == 0, flags&^acceptedFlags != 0:
		return "", syscall.EINVAL
	case flags&flagTun == 0:
		kind = flagTap
	}
	d := f.devices
	d.mu.Lock()
	defer d.mu.Unlock()
	if f.device.Load() != nil {
		return "", syscall.EEXIST
	}
	dev, e := d.find(name)
	switch {
	case e != 0:
		return "", e
	case dev == nil:
		dev, e = d.make(name, kind)
	case flags&flagExclusive != 0:
		return "", syscall.EBUSY
	case dev.kind != kind:
		return "", syscall.EINVAL
	}
	if e != 0 {
		return "", e
	}
	if !dev.file.CompareAndSwap(nil, f) {
		return "", syscall.EBUSY
	}
	dev.mu.Lock()
	dev.options = dev.options&flagPersist | flags&(flagNoPI|flagHeader|flagOneQueue)
	dev.mu.Unlock()
	f.device.Store(dev)
	dev.port.Open()
	return dev.port.Name(), 0
}

// find returns the card of a name, or nil if there is none; EINVAL if the name is another card's. mu is
// held.
func (d *Devices) find(name string) (*device, syscall.Errno) {
	for _, dev := range d.byName {
		if dev.port.Name() == name {
			return dev, 0
		}
	}
	if d.stack.HasInterface(name) {
		return nil, syscall.EINVAL
	}
	return nil, 0
}

// make makes a card. mu is held.
func (d *Devices) make(name string, kind uint16) (*device, syscall.Errno) {
	if name == "" {
		name = map[uint16]string{flagTun: "tun%d", flagTap: "tap%d"}[kind]
	}
	name, e := d.free(name)
	if e != 0 {
		return nil, e
	}
	dev := &device{devices: d, kind: kind, headerSize: shortHeader, sendBuffer: 1<<31 - 1, owner: nobody, group: nobody}
	info := netstack.PortInfo{Name: name, Notify: dev.notify}
	info.Virtual, info.QueueLength, info.MTU, info.MaxMTU = "tun", tunQueue, mtu, maxMTU
	info.Bare = kind == flagTun
	if !info.Bare {
		info.MaxMTU -= ethernet
		info.QueueLength = tapQueue
		d.random(info.MAC[:])
		info.MAC[0] = info.MAC[0]&^1 | 2 // eth_random_addr: one station's, locally administered
	}
	if dev.port, e = d.stack.AddPort(info); e != 0 {
		return nil, e
	}
	d.byName[name] = dev
	return dev, 0
}

// free returns name, with the lowest free number in the place of %d (dev_alloc_name); EINVAL if it is
// none.
func (d *Devices) free(pattern string) (string, syscall.Errno) {
	before, after, numbered := strings.Cut(pattern, "%d")
	if !netstack.ValidName(pattern) || strings.Contains(before, "%") || strings.Contains(after, "%") {
		return "", syscall.EINVAL
	}
	if !numbered {
		return pattern, 0
	}
	for n := 0; ; n++ {
		name := before + strconv.Itoa(n) + after
		switch {
		case !netstack.ValidName(name):
			return "", syscall.ENFILE // there is no room for more digits
		case !d.stack.HasInterface(name):
			return name, 0
		}
	}
}

// notify tells the file of the card.
func (dev *device) notify(ev kernel.Events) {
	if f := dev.file.Load(); f != nil {
		f.queue.Notify(ev)
	}
}

// Remove removes the card with an index, whose file is then without one. It returns EOPNOTSUPP if the
// card is none of these.
func (d *Devices) Remove(index int) syscall.Errno {
	d.mu.Lock()
	defer d.mu.Unlock()
	for name, dev := range d.byName {
		if dev.port.Index() == index {
			dev.gone.Store(true)
			dev.port.Shut()
			dev.port.Remove()
			delete(d.byName, name)
			dev.notify(kernel.EventErr | kernel.EventIn)
			return 0
		}
	}
	return syscall.EOPNOTSUPP
}

// Release implements kernel.File: the card goes, unless it is to stay (TUNSETPERSIST).
func (f *File) Release() {
	d := f.devices
	d.mu.Lock()
	defer d.mu.Unlock()
	dev := f.device.Load()
	if dev == nil || dev.gone.Load() {
		return
	}
	dev.port.SetSegments(false)
	dev.port.Shut()
	dev.mu.Lock()
	stays := dev.options&flagPersist != 0
	dev.mu.Unlock()
	dev.file.Store(nil)
	if stays {
		return
	}
	dev.gone.Store(true)
	dev.port.Remove()
	for name, o := range d.byName {
		if o == dev {
			delete(d.byName, name)
		}
	}
}

// card returns the file's card; EBADFD if there is none.
func (f *File) card() (*device, syscall.Errno) {
	dev := f.device.Load()
	if dev == nil || dev.gone.Load() {
		return nil, errBadState
	}
	return dev, 0
}

// Queue implements kernel.File.
func (f *File) Queue() *kernel.WaitQueue { return &f.queue }

// Readiness implements kernel.File. The program can write while the interface is up: what it writes
// does not wait.
func (f *File) Readiness() kernel.Events {
	dev, e := f.card()
	if e != 0 {
		return kernel.EventErr
	}
	var ev kernel.Events
	f.mu.Lock()
	if len(f.pending) > 0 || dev.port.Waiting() {
		ev |= kernel.EventIn
	}
	f.mu.Unlock()
	if dev.port.Up() {
		ev |= kernel.EventOut
	}
	return ev
}

// Stat implements kernel.File.
func (f *File) Stat(st *syscall.Stat_t) syscall.Errno { return f.node.Stat(st) }

// Records implements kernel.Records: each read and write is of one frame.
func (f *File) Records() {}
