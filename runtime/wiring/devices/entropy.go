package devices

import (
	"github.com/yolk-unikernel/yolk/drivers/virtio"
	"github.com/yolk-unikernel/yolk/drivers/virtio/rng"
	"github.com/yolk-unikernel/yolk/runtime/wiring"
)

func init() { seed() }

// seed adds entropy from a virtio-rng device where the CPU has no
// generator of its own. With neither, the pool has only timing jitter, and the
// log says so.
func seed() {
	if _, _, c, _ := wiring.CPUID(1, 0); c>>30&1 != 0 { // RDRAND
		return
	}
	for _, d := range FindDevices(virtio.TypeEntropy) {
		if err := seedFrom(d); err != nil {
			wiring.Kernel.Log("virtio-rng at " + d.Location + ": " + err.Error())
			continue
		}
		return
	}
	wiring.Kernel.Log("no RDRAND and no virtio-rng: random numbers rest on timing jitter alone; give the VM a virtio-rng device")
}

func seedFrom(d *Device) error {
	t, irqs, err := d.Open()
	if err != nil {
		return err
	}
	dev, err := rng.New(t, DMA{})
	if err != nil {
		return err
	}
	for _, irq := range irqs {
		go virtio.Serve(irq.Wait, dev.HandleInterrupt)
	}
	var seed [64]byte
	if _, err := dev.Read(seed[:]); err != nil {
		return err
	}
	wiring.AddEntropy(seed[:])
	return nil
}
