package devices

import (
	"errors"
	"testing"
	"unsafe"

	"github.com/yolk-unikernel/yolk/drivers/virtio"
	"github.com/yolk-unikernel/yolk/runtime/wiring/wiringtest"
)

func TestAlloc(t *testing.T) {
	m := wiringtest.New(t)
	m.Start()
	mem, phys, err := DMA{}.Alloc(3 * virtio.PageSize)
	if err != nil || len(mem) != 3*virtio.PageSize || phys%virtio.PageSize != 0 || phys != (DMA{}).Phys(unsafe.Pointer(&mem[0])) {
		t.Errorf("Alloc = %d bytes at %#x, %v", len(mem), phys, err)
	}
	mem[5000] = 7
	if b := m.DMA(phys+5000, 1); b == nil || b[0] != 7 {
		t.Errorf("a device sees %v; want what was stored", b)
	}
	m.NoMemory = true
	if _, _, err := (DMA{}).Alloc(1); !errors.Is(err, errNoMemory) {
		t.Errorf("Alloc = %v; want %v", err, errNoMemory)
	}
}

// Touch changes nothing, whatever part of pages it gets.
func TestTouch(t *testing.T) {
	b := make([]byte, 5*virtio.PageSize)
	for i := range b {
		b[i] = byte(i * 31)
	}
	for _, r := range [][2]int{{0, 0}, {1, 2}, {3, 4*virtio.PageSize + 1}, {virtio.PageSize - 1, virtio.PageSize + 1}, {0, len(b)}} {
		Touch(b[r[0]:r[1]])
	}
	for i := range b {
		if b[i] != byte(i*31) {
			t.Fatalf("byte %d has changed", i)
		}
	}
}
