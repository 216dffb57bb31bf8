package virtio

import "sync"

// A Lifecycle is what the drivers of simple devices have in common: a lock, and
// a device that is at work until an error ends it. The end is final: the device
// is reset, all that wait for it are told, and what is asked of it afterwards
// fails with the error that ended it.
//
// The fields are set before Start and stay.
type Lifecycle struct {
	sync.Mutex // protects the driver's state, its queues, and what follows

	Transport Transport

	// The driver's part. Each may be nil, and is called with the lock held.
	OnQueues func()          // the device may have used buffers
	OnConfig func()          // the configuration may have changed
	OnEnd    func(err error) // the device has been reset

	err error
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

// Err returns the error that ended the device, or nil. The lock is held.
func (l *Lifecycle) Err() error { return l.err }

// End ends the device, unless it has ended before. The lock is held.
func (l *Lifecycle) End(err error) {
	if l.err != nil {
		return
	}
	l.err = err
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
	if l.err == nil && l.OnQueues != nil {
		l.OnQueues()
	}
	return l.err
}

// HandleConfigChange handles an interrupt that is for changes of configuration
// and status alone (a message of its own on PCI) and returns Err.
func (l *Lifecycle) HandleConfigChange() error {
	l.Lock()
	defer l.Unlock()
	l.configChanged()
	return l.err
}

func (l *Lifecycle) configChanged() {
	if l.err != nil {
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
