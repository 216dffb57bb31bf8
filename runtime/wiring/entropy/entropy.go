// Package entropy brings bytes of a virtio-rng device to the machine's generator of random numbers. It is linked into
// programs that link crypto's source of randomness or this module's package runtime, and with package resume.
//
// Start reading at seed.
package entropy

import (
	"sync"
	"time"

	"github.com/yolk-unikernel/yolk/drivers/virtio"
	"github.com/yolk-unikernel/yolk/drivers/virtio/rng"
	"github.com/yolk-unikernel/yolk/runtime/wiring"
	"github.com/yolk-unikernel/yolk/runtime/wiring/devices"
)

func init() { seed() }

// answers is the entropy device that does, once there is one.
var answers struct {
	mu  sync.Mutex
	dev *rng.Device
	at  string // its location
}

// patience is how long a program waits for a device at the start. A host may limit its
// rate, or not answer at all; then the CPU's generator has to do, if it has one.
const patience = time.Second

// seed brings bytes of a virtio-rng device, if there is one, to the generator, also where
// the CPU has a generator of its own: then getrandom(2) waits for them, and the program's
// start goes on. Else the start waits: the network stack is about to draw its secrets.
func seed() {
	list := devices.FindDevices(virtio.TypeEntropy)
	if len(list) == 0 {
		return
	}
	ready := wiring.RandomReady()
	wiring.HoldRandom()
	settled := make(chan struct{})
	end := sync.OnceFunc(func() { close(settled) })
	late := time.AfterFunc(patience, func() {
		wiring.AddEntropy(nil)
		end()
	})
	answers.mu.Lock()
	go func() {
		defer answers.mu.Unlock()
		defer end()
		defer late.Stop()
		for _, d := range list {
			dev, err := open(d)
			if err == nil {
				answers.dev, answers.at = dev, d.Location
				if err = bring(dev); err == nil {
					return
				}
				answers.dev = nil
			}
			wiring.Kernel.Log("virtio-rng at " + d.Location + ": " + err.Error())
		}
		wiring.AddEntropy(nil)
	}()
	if !ready {
		<-settled
	}
}

func open(d *devices.Device) (*rng.Device, error) {
	t, irqs, err := d.Open()
	if err != nil {
		return nil, err
	}
	dev, err := rng.New(t, devices.DMA{})
	if err != nil {
		return nil, err
	}
	for _, irq := range irqs {
		go virtio.Serve(irq.Wait, dev.HandleInterrupt)
	}
	return dev, nil
}

// bring mixes bytes of the device into the generator.
func bring(dev *rng.Device) error {
	var b [64]byte
	if _, err := dev.Read(b[:]); err != nil {
		return err
	}
	wiring.AddEntropy(b[:])
	clear(b[:])
	return nil
}

// Reseed brings bytes to the generator once more: the machine goes on from a saved state, and
// what it had before may be what others have.
func Reseed() {
	answers.mu.Lock()
	defer answers.mu.Unlock()
	if answers.dev == nil {
		return
	}
	if err := bring(answers.dev); err != nil {
		wiring.Kernel.Log("virtio-rng at " + answers.at + ": " + err.Error())
		answers.dev = nil
		wiring.AddEntropy(nil)
	}
}
