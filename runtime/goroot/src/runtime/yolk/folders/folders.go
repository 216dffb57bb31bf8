//go:build tamago

// Package folders mounts the host's folders that the command line names with
// mount=TAG:/path[:ro]. It is linked into programs that name files, by the linker
// (tamagoFolders in cmd/link/internal/ld/tamago.go), and runtime/yolk calls it at
// start, before any package of the program initialises. It has nothing to
// initialise itself.
//
// Start reading at Mount.
package folders

import (
	"runtime/yolk"
	"runtime/yolk/devices"
	"strings"
	"sync/atomic"
	"unsafe"

	"github.com/yolk-unikernel/yolk/drivers/virtio"
	"github.com/yolk-unikernel/yolk/drivers/virtio/p9"
	"github.com/yolk-unikernel/yolk/kernel/p9fs"
)

// Mount serves the mount= words. A folder that the program was promised and does
// not get ends it: it would take its absence for an empty folder.
func Mount(words []string) {
	var found map[string]*p9.Device
	for _, w := range words {
		spec, ok := strings.CutPrefix(w, "mount=")
		if !ok {
			continue
		}
		if found == nil {
			found = open()
		}
		tag, path, _ := strings.Cut(spec, ":")
		path, readOnly := strings.CutSuffix(path, ":ro")
		if why := mountOne(found[tag], tag, path, readOnly); why != "" {
			yolk.Kernel.Log("mounting " + tag + " on " + path + ": " + why)
			yolk.Exit(1)
		}
	}
}

// open starts the machine's 9P devices and returns them by their tags.
func open() map[string]*p9.Device {
	found := map[string]*p9.Device{}
	for _, d := range devices.FindDevices(virtio.Type9P) {
		dev, err := openOne(d)
		if err != nil {
			yolk.Kernel.Log("virtio-9p at " + d.Location + ": " + err.Error())
			continue
		}
		found[dev.Tag()] = dev
	}
	return found
}

func openOne(d *devices.Device) (*p9.Device, error) {
	t, irqs, err := d.Open()
	if err != nil {
		return nil, err
	}
	dev, err := p9.New(t, devices.DMA{})
	if err != nil {
		return nil, err
	}
	for _, irq := range irqs {
		go virtio.Serve(irq.Wait, dev.HandleInterrupt)
	}
	return dev, nil
}

// mountOne returns why a folder cannot be mounted, "" if it is.
func mountOne(dev *p9.Device, tag, path string, readOnly bool) (why string) {
	switch {
	case path == "" || path[0] != '/':
		return "this is no absolute path; the form is mount=TAG:/path[:ro]"
	case dev == nil:
		return "the machine has no 9P device of this tag; yolk run -v DIR:" + path + " adds one, as QEMU's -device virtio-9p-…,mount_tag=" + tag + " does"
	}
	fs, err := p9fs.Mount(p9fs.Config{
		Transport: transport{dev},
		ReadOnly:  readOnly,
		Dev:       yolk.Kernel.NewDevice(),
		OnStack:   yolk.OnStack,
		Log:       func(line string) { yolk.Kernel.Log(path + " is lost: " + line) },
	})
	if err != nil {
		return err.Error() + "; see whether the folder is there, and the user of the VM may read it"
	}
	if e := yolk.Kernel.Mount(path, fs, tag); e != 0 {
		return e.Error() + "; it must be a folder, or one that can be made there"
	}
	return ""
}

// transport makes the memory that a device is to write to writable first, and
// tells that its caller waits for something from outside.
type transport struct{ *p9.Device }

func (t transport) Exchange(out, in [][]byte) (n int, err error) {
	for _, b := range in {
		touch(b)
	}
	yolk.Waiting(1)
	n, err = t.Device.Exchange(out, in)
	yolk.Waiting(-1)
	return n, err
}

// touch writes to each page of b what is there: it becomes resident, and memory
// that may not be written faults here, as if the kernel copied to it; the device
// would not ask.
func touch(b []byte) {
	for len(b) > 0 {
		p := unsafe.Pointer(unsafe.SliceData(b))
		word := unsafe.Add(p, -int(uintptr(p)%4))
		(*atomic.Uint32)(word).Or(0)
		b = b[min(len(b), virtio.PageSize-int(uintptr(p)%virtio.PageSize)):]
	}
}
