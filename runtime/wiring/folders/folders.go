// Package folders mounts the host's folders that the command line names with
// mount=TAG:/path[:ro]. It is linked into programs that name files, by the linker
// (tamagoFolders in cmd/link/internal/ld/tamago.go), and package wiring calls it at
// start, before any package of the program initialises. It has nothing to
// initialise itself.
//
// Start reading at Mount.
package folders

import (
	"time"

	"github.com/yolk-unikernel/yolk/drivers/virtio"
	"github.com/yolk-unikernel/yolk/drivers/virtio/p9"
	"github.com/yolk-unikernel/yolk/kernel"
	"github.com/yolk-unikernel/yolk/kernel/fs/p9fs"
	"github.com/yolk-unikernel/yolk/runtime/wiring"
	"github.com/yolk-unikernel/yolk/runtime/wiring/devices"
	"github.com/yolk-unikernel/yolk/runtime/wiring/mounts"
)

// found are the machine's 9P devices by their tags, once they are looked for.
var found map[string]*folder

// folder is a 9P device with its file system, once it is mounted. It has one, in however
// many places: the server ends what it has open when it is asked for another.
type folder struct {
	*p9.Device
	fs *p9fs.FS
}

// Mount makes the files of /proc and /sys, and serves the command line's words.
func Mount(words []string) {
	kernel.AddProc()
	mounts.Serve(words, mount)
}

// mount mounts the folder of a tag: it is a mounts.Mounter.
func mount(tag, path string, readOnly bool) (is bool, why string) {
	if found == nil {
		found = open()
	}
	f := found[tag]
	if f == nil {
		return false, ""
	}
	return true, mountOne(f, path, readOnly)
}

// open starts the machine's 9P devices and returns them by their tags.
func open() map[string]*folder {
	found := map[string]*folder{}
	devices.UsePowerSwitch()
	for _, d := range devices.FindDevices(virtio.Type9P) {
		dev, err := openOne(d)
		if err != nil {
			wiring.Kernel.Log("virtio-9p at " + d.Location + ": " + err.Error())
			continue
		}
		found[dev.Tag()] = &folder{Device: dev}
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
func mountOne(f *folder, path string, readOnly bool) (why string) {
	if f.fs == nil {
		fs, err := p9fs.Mount(p9fs.Config{
			Transport: transport{f.Device},
			ReadOnly:  readOnly,
			Dev:       wiring.Kernel.NewDevice(),
			NoDMA:     wiring.NoDMA,
			Log:       func(line string) { wiring.Kernel.Log(path + " is lost: " + line) },
		})
		if err != nil {
			return err.Error() + "; see whether the folder is there, and the user of the VM may read it"
		}
		f.fs = fs
		wiring.BeforeExit(func() { syncInTime(fs) })
	}
	if f.fs.ReadOnly() != readOnly {
		return "it is mounted elsewhere with another choice of ro; it must be the same everywhere"
	}
	if e := wiring.Kernel.Mount(path, f.fs, f.Tag()); e != 0 {
		return e.Error() + "; it must be a folder, or one that can be made there"
	}
	return ""
}

// patience is how long the end of a program waits for a folder's server.
const patience = 5 * time.Second

// syncInTime writes back what mappings have stored.
func syncInTime(fs *p9fs.FS) {
	done := make(chan struct{})
	go func() {
		fs.Sync()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(patience):
		wiring.Kernel.Log("a folder's server does not answer; what was stored in mapped files may be lost")
	}
}

// transport makes the memory that a device is to write to writable first, and
// tells that its caller waits for something from outside.
type transport struct{ *p9.Device }

func (t transport) Exchange(out, in [][]byte) (n int, err error) {
	for _, b := range in {
		devices.Touch(b)
	}
	wiring.Waiting(1)
	n, err = t.Device.Exchange(out, in)
	wiring.Waiting(-1)
	return n, err
}
