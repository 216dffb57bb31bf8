//go:build tamago

package runtime

import "internal/runtime/yolk/clock"

// The real-time clock of the PC (Motorola MC146818), through its index and data
// ports. Register A bit 7 says that an update is under way; what the others mean is in
// package clock. It sets the wall clock at boot, and again when the VMM has paused the
// machine, during which the TSC stands still and this clock goes on.
const (
	rtcIndex, rtcData = 0x70, 0x71

	rtcSeconds, rtcMinutes, rtcHours = 0x00, 0x02, 0x04
	rtcDay, rtcMonth, rtcYear        = 0x07, 0x08, 0x09
	rtcStatusA                       = 0x0a
	rtcCentury                       = 0x32

	// rtcInterval is how long the wall clock is trusted (ns); an interrupt after that
	// compares it. Where nothing else tells that the machine was saved meanwhile, it is
	// rtcSoon: sixteen port accesses, of which each may cost a hypervisor 2 us.
	rtcInterval = 2e9
	rtcSoon     = 5e6

	// rtcTolerance is how many seconds the moments of two readings can explain.
	rtcTolerance = 2
)

// set sets the wall clock (ns since 1970). The real-time clock is left alone, and
// its distance kept for compareWall.
func (c *machClockParams) set(ns uint64) {
	wall := ns - uint64(machNow())
	c.ahead += wall - c.wall
	c.setWall(wall)
}

// machSetWall reads the wall clock at the start. While the chip updates itself, for up to
// 2 ms a second, it says so; then try again. Without a chip the clock stays at 1970.
func machSetWall() {
	c := &machClock
	c.hasRTC = true
	for try := 0; try < 100_000 && c.hasRTC && c.nextCheck == 0; try++ {
		c.compareWall(machNow(), 0)
	}
}

// machCheckWall compares the wall clock with the real-time clock when it is time to: if that
// has jumped, the machine was saved or stood still. now is machNow's.
func machCheckWall(now int64) {
	if c := &machClock; now >= c.nextCheck && c.compareWall(now, rtcTolerance) {
		mach.generation.begin()
	}
}

// compareWall sets the wall clock again if the real-time clock differs from it by more than
// most seconds, and tells whether that has jumped since it was read last.
func (c *machClockParams) compareWall(now, most int64) (jumped bool) {
	if !c.hasRTC {
		return false
	}
	d, ok := rtcRead()
	if !ok {
		return false // the next interrupt finds it
	}
	c.nextCheck = now + rtcInterval
	if mach.generation.n == 0 {
		c.nextCheck = now + rtcSoon
	}
	seconds, ok := d.Unix()
	if !ok {
		c.hasRTC = false
		return false
	}
	off := seconds - int64(uint64(now)+c.wall-c.ahead)/1e9
	jumped = clock.Jumped(off-c.off, now-c.compared)
	c.off, c.compared = off, now
	if off > most || off < -most {
		c.setWall(uint64(seconds*1e9-now) + c.ahead)
		c.off = 0
	}
	return jumped
}

// rtcRead returns the date; false while the chip updates it.
func rtcRead() (d clock.Date, ok bool) {
	if rtcBusy() {
		return d, false
	}
	d = clock.Date{
		Century: rtcBCD(rtcCentury), Year: rtcBCD(rtcYear), Month: rtcBCD(rtcMonth), Day: rtcBCD(rtcDay),
		Hour: rtcBCD(rtcHours), Minute: rtcBCD(rtcMinutes), Second: rtcBCD(rtcSeconds),
	}
	return d, !rtcBusy()
}

func rtcRegister(reg uint8) uint8 {
	outb(rtcIndex, reg)
	return inb(rtcData)
}

func rtcBusy() bool { return rtcRegister(rtcStatusA)&0x80 != 0 }

// rtcBCD is called for each field of a date: not inlined, it saves images 200 bytes.
//
//go:noinline
func rtcBCD(reg uint8) int64 { return clock.BCD(rtcRegister(reg)) }
