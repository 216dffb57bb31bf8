package net

import "github.com/yolk-unikernel/yolk/drivers/virtio"

// Features of the network device (§5.1.3).
const (
	FeatureCsum      uint64 = 1 << 0  // device completes checksums of sent packets
	FeatureGuestCsum uint64 = 1 << 1  // driver takes packets with partial checksums
	FeatureMTU       uint64 = 1 << 3  // device tells the MTU
	FeatureMAC       uint64 = 1 << 5  // device tells the address
	FeatureGuestTSO4 uint64 = 1 << 7  // driver takes TCP segments beyond the MTU
	FeatureGuestTSO6 uint64 = 1 << 8  //
	FeatureHostTSO4  uint64 = 1 << 11 // device splits TCP segments beyond the MTU
	FeatureHostTSO6  uint64 = 1 << 12 //
	FeatureMrgRxbuf  uint64 = 1 << 15 // a received packet may span buffers
	FeatureStatus    uint64 = 1 << 16 // device tells whether the link is up
)

const offloads = FeatureCsum | FeatureHostTSO4 | FeatureHostTSO6 |
	FeatureGuestCsum | FeatureGuestTSO4 | FeatureGuestTSO6 | FeatureMrgRxbuf

// Configuration space (§5.1.4).
const (
	configMAC    = 0
	configStatus = 6
	configMTU    = 10

	statusLinkUp = 1
	minMTU       = 68 // RFC 791, and §5.1.4.1
)

// Info is what a device is and can do.
type Info struct {
	MAC       [6]byte
	HasMAC    bool // false: the user chooses an address
	MTU       int  // 0: the device does not say, use 1500
	MinBuffer int  // size that every receive buffer must have
	Legacy    bool
	Offloads  Offloads
}

// Offloads tells which work the two sides leave to each other.
type Offloads struct {
	TxChecksum bool // packets with NeedsChecksum may be sent
	TxTSO4     bool // packets with GSO set may be sent
	TxTSO6     bool
	RxChecksum bool // received packets may have NeedsChecksum or DataValid
	RxTSO4     bool // received packets may have GSO set
	RxTSO6     bool
	Mergeable  bool // received packets may span buffers
}

// consistent removes features whose requirements are not offered (§5.1.3.1).
// Large received packets are taken only in mergeable buffers: without them
// every buffer would have to hold 64 KiB.
func consistent(f uint64) uint64 {
	if f&FeatureCsum == 0 {
		f &^= FeatureHostTSO4 | FeatureHostTSO6
	}
	if f&FeatureGuestCsum == 0 || f&FeatureMrgRxbuf == 0 {
		f &^= FeatureGuestTSO4 | FeatureGuestTSO6
	}
	return f
}

func (d *Device) has(f uint64) bool { return d.features&f == f }

// Probe returns what the device tells of itself, whether it is at work or not.
// The offloads are those that it offers.
func Probe(t virtio.Transport) (Info, error) {
	d := Device{features: t.Features()}
	err := d.readConfig(t)
	return d.info, err
}

// readConfig fills info.
func (d *Device) readConfig(t virtio.Transport) error {
	d.hdrLen = headerSize
	if t.Legacy() && !d.has(FeatureMrgRxbuf) {
		d.hdrLen = headerSize - 2 // no num_buffers (§5.1.6.1)
	}
	info := Info{Legacy: t.Legacy(), Offloads: Offloads{
		TxChecksum: d.has(FeatureCsum),
		TxTSO4:     d.has(FeatureHostTSO4),
		TxTSO6:     d.has(FeatureHostTSO6),
		RxChecksum: d.has(FeatureGuestCsum),
		RxTSO4:     d.has(FeatureGuestTSO4),
		RxTSO6:     d.has(FeatureGuestTSO6),
		Mergeable:  d.has(FeatureMrgRxbuf),
	}}
	up := true
	err := virtio.ReadConfig(t, func(r virtio.Registers) {
		for i := range info.MAC {
			info.MAC[i] = r.Read8(configMAC + uintptr(i))
		}
		if d.has(FeatureMTU) {
			info.MTU = int(r.Read16(configMTU))
		}
		up = d.readLink(r)
	})
	if err != nil {
		return err
	}
	if d.has(FeatureMTU) && info.MTU < minMTU {
		return ErrMTU
	}
	// A group address, or none, is nobody's own address.
	info.HasMAC = d.has(FeatureMAC) && info.MAC[0]&1 == 0 && info.MAC != [6]byte{}
	if !info.HasMAC {
		info.MAC = [6]byte{}
	}
	info.MinBuffer = minBuffer(info, d.hdrLen)
	d.info = info
	d.link.Store(up)
	return nil
}

// readLink reads whether the link is up; always, if the device does not tell.
func (d *Device) readLink(r virtio.Registers) bool {
	return !d.has(FeatureStatus) || r.Read16(configStatus)&statusLinkUp != 0
}

// updateLink reads it again, with life's lock held.
func (d *Device) updateLink() {
	var up bool
	err := virtio.ReadConfig(d.life.Transport, func(r virtio.Registers) { up = d.readLink(r) })
	if err != nil {
		d.life.End(err)
		return
	}
	if d.link.Swap(up) != up {
		d.moved = true
	}
}

// LinkUp reports whether the link is up; always, if the device does not tell.
func (d *Device) LinkUp() bool { return d.link.Load() }
