package inside

import "math"

// scale estimates what was allocated of which samples were taken, one in rate bytes on average: an allocation of s bytes is sampled
// with the probability 1-exp(-s/rate), as the comment of runtime.MemProfileRate has it.
func scale(objects, bytes, rate int64) (int64, int64) {
	if objects <= 0 || bytes <= 0 {
		return 0, 0
	}
	if rate <= 1 {
		return objects, bytes
	}
	factor := 1 / (1 - math.Exp(-float64(bytes)/float64(objects)/float64(rate)))
	return int64(float64(objects) * factor), int64(float64(bytes) * factor)
}
