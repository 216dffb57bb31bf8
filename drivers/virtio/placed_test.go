package virtio

import (
	"slices"
	"testing"
)

// A queue that is set up again, by the next driver of a device, lies where it lies now.
func TestPlaced(t *testing.T) {
	var p Placed
	for i, r := range []Rings{{Size: 4}, {Size: 8}, {Size: 16}, {Size: 32}} {
		p.Place([]int{2, 0, 2, 1}[i], r)
	}
	want := []PlacedQueue{{Number: 0, Rings: Rings{Size: 8}}, {Number: 1, Rings: Rings{Size: 32}}, {Number: 2, Rings: Rings{Size: 16}}}
	if got := p.Queues(); !slices.Equal(got, want) {
		t.Errorf("Queues() = %v; want %v", got, want)
	}
}
