//go:build tamago

package runtime

import machine "internal/runtime/yolk"

// A machine can be saved and go on from that state, once or several times (snapshots,
// migration). Nothing tells so but words in memory that the VMM changes (VMGenID, VMClock),
// which the kernel above has found, and the real-time clock, which goes on meanwhile. Both
// are looked at when an interrupt comes, which is the first thing that happens to a CPU
// that was halted, and for each answer of the random generator. Nothing polls.

// machGeneration is what is watched.
type machGeneration struct {
	watched [machine.MaxWatched]machWatched
	n       int
	notice  uintptr // number of the device interrupt that tells of a resume, and 1; 0: none
}

// machWatched is a word in memory that the VMM changes.
type machWatched struct {
	at  uintptr
	was uint64
}

// watch watches 8 bytes at a physical address.
func (g *machGeneration) watch(phys uintptr) uintptr {
	if g.n == len(g.watched) {
		return machErr(_ENOSPC)
	}
	at := mach.mem.view(phys, 8)
	if phys%8 != 0 || at == 0 {
		return machErr(_EINVAL)
	}
	g.watched[g.n] = machWatched{at, load64(at)}
	g.n++
	return 0
}

// check begins a new generation if a word has changed.
func (g *machGeneration) check() {
	for i := 0; i < g.n; i++ {
		if w := &g.watched[i]; load64(w.at) != w.was {
			g.begin()
			return
		}
	}
}

// checkForAnswer is check for an answer of the random generator. Without words and without
// anything fresh, the clock is all that there is to tell two machines from one.
func (g *machGeneration) checkForAnswer() {
	g.check()
	if g.n == 0 && !machRand.hardware() {
		machClock.nextCheck = 0
		machCheckWall(machNow())
	}
}

// begin does what has to be done before any thread goes on, and tells the kernel above.
func (g *machGeneration) begin() {
	var id [4]uint64
	for i := 0; i < g.n; i++ {
		w := &g.watched[i]
		w.was = load64(w.at)
		id[i&3] ^= w.was
	}
	machRand.resumed(&id)
	machReseed()
	machClock.compareWall(machNow(), 0)
	if g.notice != 0 {
		mach.poll.interrupt(int(g.notice - 1))
	}
}
