package devices

import (
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/yolk-unikernel/yolk/drivers/virtio"
	"github.com/yolk-unikernel/yolk/runtime/wiring"
)

// Network cards change hands: the stack of package net takes them all when the program
// starts, and the program may take one for itself (package cards).

// Who can have a card.
const (
	Nobody  = ""
	Stack   = "stack"
	Program = "program"
)

// ErrBusy means that a device has a user who does not give it away.
const ErrBusy = virtio.Error("the card is in use")

// claim says who uses a device.
type claim struct {
	mu    sync.Mutex
	user  string
	leave func() error
}

// Claim gives the device to user. The user before leaves it first, by the leave that it
// gave; without one it stays, and the error is ErrBusy. When leave has returned nil,
// its user does not touch the device any more, and the device none of the user's memory.
func (d *Device) Claim(user string, leave func() error) error {
	d.claim.mu.Lock()
	defer d.claim.mu.Unlock()
	if d.claim.user != Nobody {
		if d.claim.leave == nil {
			return ErrBusy
		}
		if err := d.claim.leave(); err != nil {
			return err
		}
	}
	d.claim.user, d.claim.leave = user, leave
	return nil
}

// Disclaim says that the user has left the device.
func (d *Device) Disclaim() {
	d.claim.mu.Lock()
	d.claim.user, d.claim.leave = Nobody, nil
	d.claim.mu.Unlock()
}

// User returns who uses the device.
func (d *Device) User() string {
	d.claim.mu.Lock()
	defer d.claim.mu.Unlock()
	return d.claim.user
}

// opened is a device's transport, which stays when its user changes: interrupts cannot
// be given back.
type opened struct {
	mu        sync.Mutex
	transport virtio.Transport
	irqs      []*wiring.Interrupt
	serving   sync.Once
	handle    atomic.Pointer[func() error]
}

// OpenShared is Open for a device that changes hands: it opens it once.
func (d *Device) OpenShared() (virtio.Transport, error) {
	o := &d.opened
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.transport != nil {
		return o.transport, nil
	}
	t, irqs, err := d.Open()
	if err != nil {
		return nil, err
	}
	o.transport, o.irqs = t, irqs
	return t, nil
}

// Serve has handle called from now on when the device of OpenShared interrupts, and
// once at once: see virtio.Serve. handle may be called by several goroutines.
func (d *Device) Serve(handle func() error) {
	o := &d.opened
	o.handle.Store(&handle)
	o.serving.Do(func() {
		for _, irq := range o.irqs {
			go o.serve(irq)
		}
	})
	go handle()
}

func (o *opened) serve(irq *wiring.Interrupt) {
	for irq.Wait() == nil {
		(*o.handle.Load())() // its error is final, and told elsewhere; the next user's is to come
	}
}

// A Card is a network card.
type Card struct {
	*Device
	Name string // such as eth0: as Linux had them before names told where a card is
}

// Cards returns the machine's network cards.
func Cards() []Card {
	var list []Card
	for i, d := range FindDevices(virtio.TypeNet) {
		list = append(list, Card{d, cardName(i)})
	}
	return list
}

func cardName(i int) string { return "eth" + strconv.Itoa(i) }
