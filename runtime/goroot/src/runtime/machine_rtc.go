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

	// rtcInterval is how long the wall clock is trusted (ns); an interrupt after
	// that compares it.
	rtcInterval = 2e9
)

// set sets the wall clock (ns since 1970). The real-time clock is left alone, and
// its distance kept for machSetWall.
func (c *machClockParams) set(ns uint64) {
	wall := ns - uint64(machNow())
	c.ahead += wall - c.wall
	c.setWall(wall)
}

// machSetWall reads the wall clock. While the chip updates itself, for up to
// 2 ms a second, it says so; then try again. Without a chip the clock stays at 1970.
func machSetWall() {
	for try := 0; try < 100_000; try++ {
		if rtcBusy() {
			continue
		}
		d := clock.Date{
			Century: rtcBCD(rtcCentury), Year: rtcBCD(rtcYear), Month: rtcBCD(rtcMonth), Day: rtcBCD(rtcDay),
			Hour: rtcBCD(rtcHours), Minute: rtcBCD(rtcMinutes), Second: rtcBCD(rtcSeconds),
		}
		if rtcBusy() {
			continue
		}
		if seconds, ok := d.Unix(); ok {
			machClock.setWall(uint64(seconds*1e9-machNow()) + machClock.ahead)
		} else {
			machClock.noRTC = true
		}
		return
	}
}

// machCheckWall sets the wall clock again if the real-time clock differs from it.
// now is machNow's.
func machCheckWall(now int64) {
	c := &machClock
	if now < c.nextCheck || c.noRTC {
		return
	}
	c.nextCheck = now + rtcInterval
	if rtcBusy() {
		return // the next interrupt finds it
	}
	d := clock.Date{Hour: rtcBCD(rtcHours), Minute: rtcBCD(rtcMinutes), Second: rtcBCD(rtcSeconds)}
	if d.Differs(int64(uint64(now)+c.wall-c.ahead) / 1e9) {
		machSetWall()
	}
}

func rtcRead(reg uint8) uint8 {
	outb(rtcIndex, reg)
	return inb(rtcData)
}

func rtcBusy() bool { return rtcRead(rtcStatusA)&0x80 != 0 }

func rtcBCD(reg uint8) int64 { return clock.BCD(rtcRead(reg)) }
