// Package balloon connects the memory balloon, if the machine has one: free memory goes
// back to the host. runtime/machine/linked says which programs have it; it starts after
// their own packages have initialised, before main.main.
//
// Start reading at start.
package balloon

import (
	"time"

	"github.com/yolk-unikernel/yolk/drivers/virtio"
	"github.com/yolk-unikernel/yolk/drivers/virtio/balloon"
	"github.com/yolk-unikernel/yolk/runtime/wiring"
	"github.com/yolk-unikernel/yolk/runtime/wiring/devices"
)

// delay is how long freed memory waits before it is reported: a collector's
// cycle in a busy program is shorter.
const delay = time.Second

func start() {
	if list := devices.FindDevices(virtio.TypeBalloon); len(list) > 0 {
		d := list[0] // a second balloon would be about the same memory
		wiring.Kernel.Log("virtio-balloon at " + d.Location + ": " + serve(d).Error())
	}
}

// serve runs the device until it fails.
func serve(d *devices.Device) error {
	freed := wiring.NewInterrupt()
	if freed == nil {
		return errNoVector
	}
	t, irqs, err := d.Open()
	if err != nil {
		return err
	}
	dev, err := balloon.New(t, devices.DMA{}, frames{freed}, balloon.Options{Reserve: reserve(), Delay: delay})
	if err != nil {
		return err
	}
	for _, irq := range irqs {
		go virtio.Serve(irq.Wait, dev.HandleInterrupt)
	}
	go dev.ServeFreed()
	return dev.ServeTarget() // all end together, with the same error
}

const errNoVector = virtio.Error("no interrupt vector left")

// reserve is what stays free in the guest: a sixteenth of the RAM, from 1 to 8
// MiB.
func reserve() uint64 {
	total, _ := wiring.Memory()
	return min(max(total/16, 1<<20), 8<<20)
}

// frames is the machine's memory as the driver wants it.
type frames struct{ freed *wiring.Interrupt }

func (frames) Take(n int, used bool) (start, end uint64) { return wiring.TakeFrames(n, used) }
func (frames) Give(start, end uint64, clean bool)        { wiring.GiveFrames(start, end, clean) }
func (frames) Ballooned(n uint64)                        { wiring.ShrinkMemory(n) }
func (frames) Free() uint64 {
	_, free := wiring.Memory()
	return free
}

func (f frames) WaitFreed(n int) error {
	wiring.NoticeFreed(f.freed, n)
	return f.freed.Wait()
}
