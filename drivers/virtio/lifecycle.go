package virtio

import (
	"sync"
	"sync/atomic"
)

// A Lifecycle is what all drivers have in common: a lock, and a device that is at
// work until an error ends it. The end is final: the device is reset, all that
// wait for it are told, and what is asked of it afterwards fails with the error
// that ended it.
//
// The lock protects the driver's state and its queues, unless the driver has
// locks of its own for these: then it holds them while it looks at Err and works
// on a queue, and takes them in OnEnd, so that none is at work afterwards.
//
// The fields are set before Start and stay.
type Lifecycle struct {
	sync.Mutex

	Transport Transport

	// The driver's part. Each may be nil, and is called with the lock held.
	OnQueues func()          // the device may have used buffers
	OnConfig func()          // the configuration may have changed
	OnEnd    func(err error) // the device has been reset

	err atomic.Pointer[error] // set once
}

// Start runs the driver's set-up of the device, without the lock. If that
// fails, the device is given up (§2.1.1) and touches no memory any more.
func (l *Lifecycle) Start(setUp func() error) error {
	err := setUp()
	if err != nil {
		Fail(l.Transport)
		Reset(l.Transport)
	}
	return err
}

// Err returns the error that ended the device, or nil. The lock need not be held.
func (l *Lifecycle) Err() error {
	if p := l.err.Load(); p != nil {
		return *p
	}
	return nil
}

// End ends the device, unless it has ended before. The lock is held.
func (l *Lifecycle) End(err error) {
	if l.err.CompareAndSwap(nil, &err) {
		l.end(err)
	}
}

// EndSoon is End for a caller that holds a lock that OnEnd takes, or whose caller
// may: Err returns err from now on, and a goroutine of its own does the rest.
func (l *Lifecycle) EndSoon(err error) {
	if l.err.CompareAndSwap(nil, &err) {
		go func() {
			l.Lock()
			defer l.Unlock()
			l.end(err)
		}()
	}
}

func (l *Lifecycle) end(err error) {
	Reset(l.Transport) // from here on it touches no buffer
	if l.OnEnd != nil {
		l.OnEnd(err)
	}
}

// Close ends the device with ErrClosed.
func (l *Lifecycle) Close() {
	l.Lock()
	defer l.Unlock()
	l.End(ErrClosed)
}

// HandleInterrupt does all that the device may have interrupted for and
// returns Err.
func (l *Lifecycle) HandleInterrupt() error {
	cause := l.Transport.Acknowledge()
	l.Lock()
	defer l.Unlock()
	if cause&CauseConfig != 0 {
		l.configChanged()
	}
	if l.Err() == nil && l.OnQueues != nil {
		l.OnQueues()
	}
	return l.Err()
}

// HandleConfigChange handles an interrupt that is for changes of configuration
// and status alone (a message of its own on PCI) and returns Err.
func (l *Lifecycle) HandleConfigChange() error {
	l.Lock()
	defer l.Unlock()
	l.configChanged()
	return l.Err()
}

func (l *Lifecycle) configChanged() {
	if l.Err() != nil {
		return
	}
	if err := CheckStatus(l.Transport); err != nil {
		l.End(err)
		return
	}
	if l.OnConfig != nil {
		l.OnConfig()
	}
}
