//go:build yolk

package tcpip

import "math"

// saturatedAdd returns a+b, or the nearest int64.
func saturatedAdd(a, b int64) int64 {
	s := a + b
	if (a^s)&(b^s) < 0 {
		return math.MaxInt64 + a>>63&1
	}
	return s
}

// saturatedSub returns a-b, or the nearest int64.
func saturatedSub(a, b int64) int64 {
	s := a - b
	if (a^b)&(a^s) < 0 {
		return math.MaxInt64 + a>>63&1
	}
	return s
}
