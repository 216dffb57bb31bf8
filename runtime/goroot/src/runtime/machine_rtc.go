//go:build tamago

package runtime

// The real-time clock of the PC (Motorola MC146818), through its index and data
// ports. Register A bit 7 says that an update is under way; the others count in
// BCD, in 24-hour mode, as firmware leaves them. It sets the wall clock at boot,
// and again when the VMM has paused the machine, during which the TSC stands
// still and this clock goes on.
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
// 2 ms a second, it says so; then try again. Without a chip its registers read
// as ones, and the clock stays at 1970.
func machSetWall() {
	for try := 0; try < 100_000; try++ {
		if rtcBusy() {
			continue
		}
		century, year := rtcBCD(rtcCentury), rtcBCD(rtcYear)
		month, day := rtcBCD(rtcMonth), rtcBCD(rtcDay)
		hour, minute, second := rtcBCD(rtcHours), rtcBCD(rtcMinutes), rtcBCD(rtcSeconds)
		if rtcBusy() {
			continue
		}
		if century < 19 || century > 22 {
			century = 20
		}
		if month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 {
			machClock.noRTC = true
			return
		}
		seconds := unixDays(century*100+year, month, day)*86400 + hour*3600 + minute*60 + second
		machClock.setWall(uint64(seconds*1e9-machNow()) + machClock.ahead)
		return
	}
}

// machCheckWall sets the wall clock again if the real-time clock differs by
// more than two seconds. now is machNow's.
func machCheckWall(now int64) {
	c := &machClock
	if now < c.nextCheck || c.noRTC {
		return
	}
	c.nextCheck = now + rtcInterval
	if rtcBusy() {
		return // the next interrupt finds it
	}
	of := int64(uint64(now)+c.wall-c.ahead) / 1e9 % 86400
	differs := rtcBCD(rtcHours)*3600 + rtcBCD(rtcMinutes)*60 + rtcBCD(rtcSeconds) - of
	if differs < 0 {
		differs += 86400
	}
	if differs > 2 && differs < 86400-2 {
		machSetWall()
	}
}

func rtcRead(reg uint8) uint8 {
	outb(rtcIndex, reg)
	return inb(rtcData)
}

func rtcBusy() bool { return rtcRead(rtcStatusA)&0x80 != 0 }

func rtcBCD(reg uint8) int64 {
	v := int64(rtcRead(reg))
	return v>>4*10 + v&15
}

// unixDays returns the days from 1970-01-01 to a date of the Gregorian
// calendar, counting years from March so that the leap day is the last.
func unixDays(year, month, day int64) int64 {
	if month <= 2 {
		year, month = year-1, month+12
	}
	return 365*year + year/4 - year/100 + year/400 + (153*(month-3)+2)/5 + day - 1 - 719468
}
