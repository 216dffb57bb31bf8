package virtio

// resetPolls bounds the wait for a reset to complete. Each poll is one
// register read, about a microsecond on a virtual machine.
const resetPolls = 1 << 16

// configTries bounds the re-reads of a configuration that changes meanwhile.
const configTries = 16

// transportFeatures are those that every driver here can work with.
//
// ACCESS_PLATFORM means that the device's accesses go through the platform's
// IOMMU if there is one. Nothing here ever programs one, so bus addresses are
// physical addresses, and accepting it is what lets such a device run (§6.1).
const transportFeatures = FeatureIndirectDesc | FeatureEventIdx | FeatureAccessPlatform | FeatureAnyLayout

// Reset resets the device and waits until it says that it has. Afterwards the
// device touches no memory (§2.1.2, §2.4).
func Reset(t Transport) error {
	t.SetStatus(0)
	for range resetPolls {
		if t.Status() == 0 {
			return nil
		}
	}
	return ErrReset
}

// Negotiate does the initialisation of §3.1.1 up to step 6 (legacy: §3.1.2): it
// resets the device and settles the features: those of wanted, plus the ones
// of the transport and queues, that the device offers. The caller then sets up
// its queues and calls Ready. If a required feature is missing, the device is
// marked as failed.
//
// refine, if not nil, may drop features of a set that is about to be accepted.
func Negotiate(t Transport, wanted, required uint64, refine func(uint64) uint64) (features uint64, err error) {
	if err := Reset(t); err != nil {
		return 0, err
	}
	t.SetStatus(StatusAcknowledge)
	t.SetStatus(StatusAcknowledge | StatusDriver)
	wanted |= required | transportFeatures
	if !t.Legacy() {
		required |= FeatureVersion1
		wanted = (wanted | FeatureVersion1) &^ FeatureAnyLayout
	}
	features = t.Features() & wanted
	if refine != nil {
		features = refine(features)
	}
	if features&required != required {
		Fail(t)
		return 0, ErrFeatures
	}
	t.SetFeatures(features)
	if t.Legacy() {
		return features, nil
	}
	t.SetStatus(StatusAcknowledge | StatusDriver | StatusFeaturesOK)
	if t.Status()&StatusFeaturesOK == 0 {
		Fail(t)
		return 0, ErrFeaturesOK
	}
	return features, nil
}

// Ready tells the device that the driver is set up and that it may begin.
func Ready(t Transport) error {
	status := uint8(StatusAcknowledge | StatusDriver | StatusDriverOK)
	if !t.Legacy() {
		status |= StatusFeaturesOK
	}
	t.SetStatus(status)
	return CheckStatus(t)
}

// CheckStatus returns an error if the device is no longer at work. It is to be
// called when CauseConfig was reported (§2.1.2).
func CheckStatus(t Transport) error {
	s := t.Status()
	if s&StatusNeedsReset != 0 || s&StatusDriverOK == 0 {
		return ErrNeedsReset
	}
	return nil
}

// Fail gives the device up: the driver will not use it (§2.1.1).
func Fail(t Transport) { t.SetStatus(t.Status() | StatusFailed) }

// ReadConfig calls read, again if need be, until it saw a configuration that
// did not change meanwhile (§2.5.1).
func ReadConfig(t Transport, read func(Registers)) error {
	for range configTries {
		before := t.ConfigGeneration()
		read(t.Config())
		if t.ConfigGeneration() == before {
			return nil
		}
	}
	return ErrConfigUnstable
}

// Serve handles interrupts until wait or handle fails, and returns that error.
// wait blocks until the device has interrupted since wait last returned.
//
// handle is called once before the first wait: an interrupt line that rose
// before anyone listened would otherwise never fall, and so never rise again.
func Serve(wait, handle func() error) error {
	for {
		if err := handle(); err != nil {
			return err
		}
		if err := wait(); err != nil {
			return err
		}
	}
}
