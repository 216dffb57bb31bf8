// Package entropy judges what a CPU's generator of random numbers gives (the instructions
// RDRAND and RDSEED). machine_random.go of package runtime executes them.
package entropy

// Tries is how often an instruction is repeated that has no number ready: Intel SDM volume
// 1, §7.3.17.1.
const Tries = 10

// mostStuck is after how many useless numbers in a row a generator is taken for broken. A
// good one gives even one in 2^62 times.
const mostStuck = 8

// A Source is a CPU's generator. Some that have slept give nothing but ones, and say that
// all is well (Linux: drivers of AMD's families 15h to 17h); others repeat themselves.
type Source struct {
	last  uint64
	stuck int // useless numbers in a row
}

// Good reports whether v, which the generator has given, can be used: it is neither all
// zeros, nor all ones, nor what it gave before.
func (s *Source) Good(v uint64) bool {
	if s.Broken() {
		return false
	}
	if v == 0 || v == ^uint64(0) || v == s.last {
		s.stuck++
		return false
	}
	s.last, s.stuck = v, 0
	return true
}

// Broken reports whether the generator has given too many useless numbers: it is not to be
// asked again.
func (s *Source) Broken() bool { return s.stuck >= mostStuck }
