//go:build tamago

package runtime

import _ "unsafe" // for linkname

// The CPU profile that the host asks for (package ask) is the runtime's own, of which there is one: the
// program cannot have another at the same time.

// yolk_startProfile begins to take hz samples a second of CPU time, unless there is a profile
// already. It is SetCPUProfileRate, which would print that.
//
//go:linkname yolk_startProfile runtime/yolk/wiring.startProfile
func yolk_startProfile(hz int) bool {
	lock(&cpuprof.lock)
	defer unlock(&cpuprof.lock)
	if cpuprof.on || cpuprof.log != nil {
		return false
	}
	cpuprof.on = true
	cpuprof.log = newProfBuf(1, profBufWordCount, profBufTagCount)
	hdr := [1]uint64{uint64(hz)}
	cpuprof.log.write(nil, nanotime(), hdr[:], nil)
	setcpuprofilerate(int32(hz))
	return true
}

// yolk_stopProfile ends what yolk_startProfile has begun; what was sampled is to be read to its end.
//
//go:linkname yolk_stopProfile runtime/yolk/wiring.stopProfile
func yolk_stopProfile() { SetCPUProfileRate(0) }

// yolk_readProfile returns what was sampled since the last call, without waiting, until the next call, and
// nothing at the end. See runtime_pprof_readProfile.
//
//go:linkname yolk_readProfile runtime/yolk/wiring.readProfile
func yolk_readProfile() (data []uint64, end bool) {
	lock(&cpuprof.lock)
	log := cpuprof.log
	unlock(&cpuprof.lock)
	if log == nil {
		return nil, true
	}
	data, _, end = log.read(profBufNonBlocking)
	if end = end && len(data) == 0; end {
		lock(&cpuprof.lock)
		cpuprof.log = nil
		unlock(&cpuprof.lock)
	}
	return data, end
}
