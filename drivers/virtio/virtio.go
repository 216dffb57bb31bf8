// Package virtio is the part of a virtio driver that does not depend on the
// kind of device or on how it is reached: feature negotiation, the status
// handshake and the split virtqueue. It follows the Virtual I/O Device (VIRTIO)
// specification, version 1.2, and the legacy interface that this version
// describes beside it, because QEMU still offers that one by default on
// virtio-mmio.
//
// A driver reaches a device through a Transport (package mmio or pci) and
// shares memory with it through a Memory. Both, and the registers below a
// transport, are injected, so every driver runs on any host against the device
// side in package virtiotest.
//
// Everything that a device writes is hostile input. A value that no correct
// device writes ends that device with one of the errors below; it never makes
// the driver panic or touch memory that is not the driver's.
//
// Start reading at Negotiate (device.go), then Queue (queue.go).
package virtio

import (
	"sync/atomic"
)

// Registers is a window of device registers. Every access is exactly one load
// or store of the given width at that offset, in program order. Values are
// little-endian, as the CPU's.
type Registers interface {
	Read8(off uintptr) uint8
	Read16(off uintptr) uint16
	Read32(off uintptr) uint32
	Write8(off uintptr, v uint8)
	Write16(off uintptr, v uint16)
	Write32(off uintptr, v uint32)
}

// PageSize is the unit in which memory is physically contiguous.
const PageSize = 4096

// Rings tells a transport where the three parts of a virtqueue lie.
type Rings struct {
	Size  int    // entries, a power of two
	Desc  uint64 // physical address of the descriptor table
	Avail uint64 // physical address of the available ring ("driver area")
	Used  uint64 // physical address of the used ring ("device area")
}

// Transport is the way to one device. Negotiation and queue set-up are done by
// one goroutine; Notify, Acknowledge, SetStatus and configuration reads may
// come from several at once.
type Transport interface {
	// DeviceType returns the device type (virtio 1.2 §5).
	DeviceType() DeviceType
	// Legacy reports whether the device is driven through the legacy
	// interface (§1.3.1).
	Legacy() bool
	Status() uint8
	SetStatus(status uint8)
	Features() uint64
	SetFeatures(features uint64)
	// QueueMax returns the largest size of queue i that the device supports;
	// 0 means that there is no such queue.
	QueueMax(i int) int
	// SetQueue hands over the rings of queue i and enables it.
	SetQueue(i int, r Rings) error
	// Notify tells the device that queue i has new available buffers.
	Notify(i int)
	// Doorbell returns what Notify(i) does.
	Doorbell(i int) Doorbell
	// Acknowledge tells why the device interrupted, and takes the interrupt
	// back where the transport has a register for that.
	Acknowledge() Cause
	// Config is the device-specific configuration space. Reads beyond its
	// end return zero.
	Config() Registers
	// ConfigGeneration changes whenever Config may have changed (§2.5.1); it
	// is constant on a legacy device.
	ConfigGeneration() uint32
}

// A Doorbell is where and how a transport tells a device of new buffers, for who
// serves a queue without a Queue: see Queue.Rings.
type Doorbell struct {
	Registers Registers
	Offset    uintptr // where to write the number of the queue,
	Width     int     // in 2 or 4 bytes
	// Status is the offset of a register with the causes of the interrupt, and of one
	// behind it to take them back (§4.2.2); 0 if interrupts need no answer. Who does
	// that adds the causes to Taken, but for CauseQueue.
	Status uintptr
	Taken  *atomic.Uint32
}

// DeviceType is a virtio device type (§5).
type DeviceType uint32

// Device types (§5).
const (
	TypeNet     DeviceType = 1
	TypeBlock   DeviceType = 2
	TypeConsole DeviceType = 3
	TypeEntropy DeviceType = 4
	TypeBalloon DeviceType = 5
	Type9P      DeviceType = 9
	TypeVsock   DeviceType = 19
)

// Cause is a set of reasons for an interrupt.
type Cause uint8

// Bits of Cause, as in the interrupt status registers (§4.1.4.5, §4.2.2).
const (
	CauseQueue  Cause = 1 << 0 // the device used buffers
	CauseConfig Cause = 1 << 1 // its configuration or its status changed
)

// Device status bits (§2.1).
const (
	StatusAcknowledge = 1
	StatusDriver      = 2
	StatusDriverOK    = 4
	StatusFeaturesOK  = 8
	StatusNeedsReset  = 64
	StatusFailed      = 128
)

// Features that belong to no device type (§6, §6.3).
const (
	FeatureAnyLayout      uint64 = 1 << 27 // legacy only
	FeatureIndirectDesc   uint64 = 1 << 28
	FeatureEventIdx       uint64 = 1 << 29
	FeatureVersion1       uint64 = 1 << 32
	FeatureAccessPlatform uint64 = 1 << 33
)

// Error is the type of this project's virtio errors that have no parameters.
type Error string

func (e Error) Error() string { return string(e) }

// Errors that end a device: it, or what stands for it, did what the
// specification forbids, or cannot be driven.
const (
	ErrReset          = Error("virtio: device does not reset")
	ErrNeedsReset     = Error("virtio: device reports an internal error (DEVICE_NEEDS_RESET)")
	ErrFeatures       = Error("virtio: device lacks a feature that the driver needs")
	ErrFeaturesOK     = Error("virtio: device refused the negotiated features")
	ErrConfigUnstable = Error("virtio: device configuration does not stop changing")
	ErrNoQueue        = Error("virtio: device has no such queue")
	ErrQueueSize      = Error("virtio: queue size is not a power of two from 2 to 32768")
	ErrUsedIndex      = Error("virtio: device used more buffers than it was given")
	ErrUsedID         = Error("virtio: device used a buffer that it does not hold")
	ErrUsedLength     = Error("virtio: device claims to have written more than the buffer holds")
	ErrClosed         = Error("virtio: device is closed")
)
