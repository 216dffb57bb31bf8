package entropy

import "testing"

const ones = ^uint64(0)

// Each sequence is what a generator gives; usable is how many of them can be used.
func TestSource(t *testing.T) {
	repeat := func(v uint64, n int) (list []uint64) {
		for range n {
			list = append(list, v)
		}
		return list
	}
	for _, tt := range []struct {
		name   string
		gives  []uint64
		usable int
		broken bool
	}{
		{"good", []uint64{1, 2, 3, 1, 2}, 5, false},
		{"all ones after sleep", append([]uint64{5, 6}, repeat(ones, mostStuck)...), 2, true},
		{"all zeros", repeat(0, mostStuck), 0, true},
		{"one number", repeat(7, mostStuck+1), 1, true},
		{"broken for good", append(repeat(ones, mostStuck), 1, 2, 3), 0, true},
		{"a repetition", []uint64{1, 1, 2, 2, 3, ones, 4, 0, 5}, 5, false},
		{"not quite stuck", append(repeat(ones, mostStuck-1), 9, ones, ones), 1, false},
	} {
		var s Source
		usable := 0
		for _, v := range tt.gives {
			if s.Good(v) {
				usable++
			}
		}
		if usable != tt.usable || s.Broken() != tt.broken {
			t.Errorf("%s: %d usable, broken %v; want %d, %v", tt.name, usable, s.Broken(), tt.usable, tt.broken)
		}
	}
}
