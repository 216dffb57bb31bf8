package runtime

import (
	"time"
	"unsafe"
)

// What a machine's package runtime/wiring/cards and this one say to each other. The two
// share no package: this one is of the module in the program's go.mod, that one of the
// toolchain. So the types here are built of what the language has, and a card that does
// not have exactly these methods is refused: then one of the two is older.

// machineNIC is a *cards.Listed.
type machineNIC interface {
	Name() (name, location string)
	User() string
	Info() (mac [6]byte, mtu int, err error)
	Open(buffers int, offload bool) (card any, err error)
}

// machineCard is a *cards.Card.
type machineCard interface {
	Offloads() (txChecksum, txTSO4, txTSO6, rxChecksum, rxTSO4, rxTSO6 bool)
	Stats() (received, receivedBytes, starved, sent, sentBytes, waits uint64)
	LinkUp() bool
	Receive(frames []rawFrame) (int, error)
	SetReceiveDeadline(t time.Time)
	Send(frames []rawFrame) (int, error)
	Flush() error
	Close() error
}

// rawFrame is Frame, as cards.Frame.
type rawFrame = struct {
	Data           []byte
	More           [][]byte
	Flags          uint8
	GSO            uint8
	HeaderLen      uint16
	SegmentSize    uint16
	ChecksumStart  uint16
	ChecksumOffset uint16
	Done           func()
	Owner          any
}

// rawFrames returns the same frames. unsafe: Frame has the fields of rawFrame, in the
// same order and of the same types, some of them in Offload; TestRawFrame compares.
func rawFrames(frames []Frame) []rawFrame {
	return unsafe.Slice((*rawFrame)(unsafe.Pointer(unsafe.SliceData(frames))), len(frames))
}

func machineNICs(cards []any) []machineNIC {
	var list []machineNIC
	for _, c := range cards {
		if m, ok := c.(machineNIC); ok {
			list = append(list, m)
		}
	}
	return list
}
