// Package disks gives the kernel the machine's virtio disks: each is a file,
// /dev/vda and so on in the order in which they are found, and those that the
// command line names are mounted, with root=TAG[:ro] or mount=TAG:/path[:ro]. It
// is linked into programs that are built with the tag yolkdisk, and initialises before
// their own packages; package wiring then leaves mounting to it (tamagoDisks in
// cmd/link/internal/ld/tamago.go).
//
// Start reading at start, then mount (mount.go).
package disks

import (
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"github.com/yolk-unikernel/yolk/drivers/virtio"
	"github.com/yolk-unikernel/yolk/drivers/virtio/blk"
	virtiopci "github.com/yolk-unikernel/yolk/drivers/virtio/pci"
	"github.com/yolk-unikernel/yolk/kernel"
	"github.com/yolk-unikernel/yolk/kernel/fs/rawdisk"
	"github.com/yolk-unikernel/yolk/runtime/machine"
	"github.com/yolk-unikernel/yolk/runtime/wiring"
	"github.com/yolk-unikernel/yolk/runtime/wiring/devices"
	"github.com/yolk-unikernel/yolk/runtime/wiring/mounts"
)

func init() { start() }

// start finds the disks before the command line's words are served.
//
//go:noinline
func start() {
	kernel.AddProc()
	devices.UsePowerSwitch()
	for _, d := range devices.FindDevices(virtio.TypeBlock) {
		if err := add(d); err != nil {
			wiring.Kernel.Log("virtio-blk at " + d.Location + ": " + err.Error())
		}
	}
	showDisks()
	mounts.Disk = mount
	wiring.Mount(func(words []string) { mounts.Serve(words, nil) })
}

// disk is one of the machine's disks.
type disk struct {
	*blk.Disk
	name   string         // vda
	serial string         // what the host calls it, or ""
	number uint64         // device number
	reader machine.Reader // the machine's handle of its own queue, or 0
	lost   sync.Once

	fs       fileSystem // once it is mounted
	readOnly bool       // so
}

// found are the disks in the order of their names.
var found []*disk

// name returns that of disk i: vda to vdz, vdaa and so on (Linux's
// virtblk_name_format).
func name(i int) string {
	s := ""
	for ; i >= 0; i = i/26 - 1 {
		s = string(rune('a'+i%26)) + s
	}
	return "vd" + s
}

// maxQueues is how many queues of a disk are used at most, each with an interrupt
// of its own: requests of more goroutines than CPUs share them well.
const maxQueues = 4

// add starts a disk and makes its node in /dev.
func add(d *devices.Device) error {
	n := min(wiring.CPUs(), maxQueues)
	t, irqs, err := d.OpenQueues(n + 1) // one is the machine's: see newReader
	if err != nil {
		return err
	}
	k := &disk{name: name(len(found))}
	dev, err := blk.New(t, devices.DMA{}, blk.Options{Queues: n, Reserve: true, Ended: k.ended, Stalled: k.stalled})
	if err != nil {
		return err
	}
	k.reader = newReader(dev, t, irqs)
	k.serve(dev, irqs)
	if k.serial, err = dev.ID(); err != nil {
		return err
	}
	if k.Disk, err = blk.NewDisk(dev, blk.DiskOptions{Waiting: waiting, Touch: devices.Touch}); err != nil {
		return err
	}
	k.number = major<<8 | uint64(len(found))*minors&0xff | uint64(len(found))*minors>>8<<20 // makedev(3)
	k.addNode(len(found))
	found = append(found, k)
	return nil
}

// newReader leaves the reserved queue of a disk to the machine, which reads pages of
// mapped files over it; 0 if there is none, or its interrupts cannot be told.
func newReader(dev *blk.Device, t virtio.Transport, irqs []*wiring.Interrupt) machine.Reader {
	q := dev.Reserved()
	if q == nil {
		return 0
	}
	bell, rings := t.Doorbell(q.Index()), q.Rings()
	regs, ok := bell.Registers.(wiring.Registers)
	if p, isPCI := t.(*virtiopci.Device); !ok || isPCI && p.Vectors() == 0 {
		return 0 // an INTx line cannot be taken back for one queue alone
	}
	i := min(1+q.Index(), len(irqs)-1) // virtio/pci.Open
	r := machine.ReaderSpec{
		Size: uintptr(rings.Size), Desc: uintptr(rings.Desc), Avail: uintptr(rings.Avail), Used: uintptr(rings.Used),
		Pages: uintptr(pagesPerRequest(dev.Info())),
		Bell:  regs.Address() + bell.Offset, BellWidth: uintptr(bell.Width), Index: uintptr(q.Index()),
		Own: i == 1+q.Index(), Legacy: t.Legacy(),
	}
	if bell.Status != 0 {
		r.Status, r.Taken = regs.Address()+bell.Status, uintptr(unsafe.Pointer(bell.Taken)) // the driver keeps it
	}
	return wiring.NewReader(r, irqs[i])
}

// pagesPerRequest is how many pages, each a segment of its own, a device takes.
func pagesPerRequest(info blk.Info) int {
	if info.MaxSegment < virtio.PageSize {
		return 0
	}
	return min(info.MaxSegments, info.MaxBytes/virtio.PageSize)
}

// ended is told that the device has ended.
func (k *disk) ended(err error) {
	if k.reader != 0 {
		wiring.EndReader(k.reader, err == virtio.ErrReset)
	}
}

// answered counts the requests that the disks have answered.
var answered atomic.Int64

func waiting(delta int) {
	wiring.Waiting(delta)
	if delta < 0 {
		answered.Add(1)
	}
}

// serve handles the device's interrupts: see devices.Device.OpenQueues.
func (k *disk) serve(dev *blk.Device, irqs []*wiring.Interrupt) {
	for i, irq := range irqs {
		handle := dev.HandleInterrupt
		switch {
		case len(irqs) > 1 && i == 0:
			handle = dev.HandleConfigChange
		case i > 0 && i < len(irqs)-1 && i <= dev.Info().Queues:
			handle = func() error { return dev.HandleQueue(i - 1) }
		}
		go func() {
			err := virtio.Serve(irq.Wait, handle)
			k.lost.Do(func() {
				wiring.Kernel.Log(k.name + " is lost: " + err.Error() + "; everything on it is an input/output error from now on")
			})
		}()
	}
}

// stalled is told of requests that take too long.
func (k *disk) stalled(op blk.Op, offset, length int64, age time.Duration) {
	what := op.String()
	if op != blk.Flush {
		what += " of " + strconv.FormatInt(length, 10) + " bytes at " + strconv.FormatInt(offset, 10)
	}
	wiring.Kernel.Log(k.name + ": the host has not answered a " + what + " for " + strconv.Itoa(int(age/time.Second)) + " s; the program waits")
}

// Numbers of the nodes: Linux takes the first major that is free from 254 down,
// and 16 minors for each disk and its partitions.
const (
	major  = 254
	minors = 16
)

func (k *disk) addNode(i int) {
	wiring.Kernel.AddDevice(kernel.DeviceNode{
		Driver: "virtblk",
		Name:   k.name, Mode: syscall.S_IFBLK | 0o660, Major: major, Minor: uint64(i) * minors,
		Open: rawdisk.New(k, wiring.NoDMA).Open,
	})
}
