package virtio_test

import (
	"testing"

	"github.com/yolk-unikernel/yolk/drivers/virtio"
)

func TestIdleList(t *testing.T) {
	var l virtio.IdleList[int]
	if x := l.Take(); x != nil {
		t.Errorf("Take of an empty list = %v; want nil", *x)
	}
	a, b := new(int), new(int)
	l.Put(a)
	l.Put(b)
	if x, y, z := l.Take(), l.Take(), l.Take(); x != b || y != a || z != nil {
		t.Error("Take did not return each thing once, the last first")
	}
	if n := testing.AllocsPerRun(100, func() { l.Put(a); l.Take() }); n != 0 {
		t.Errorf("Put and Take make %v allocations; want 0", n)
	}
}
