//go:build tamago

package yolk

// The real-time clock of the PC (Motorola MC146818), through its index and data
// ports. Register A bit 7 says that an update is under way; the others count in
// BCD, in 24-hour mode, as firmware leaves them. (TamaGo's driver would do; it
// brings package time's formatting into every image: docs/libraries.md.)
const (
	rtcIndex, rtcData = 0x70, 0x71

	rtcSeconds, rtcMinutes, rtcHours = 0x00, 0x02, 0x04
	rtcDay, rtcMonth, rtcYear        = 0x07, 0x08, 0x09
	rtcStatusA                       = 0x0a
	rtcCentury                       = 0x32
)

// setClock reads the wall clock. While the chip updates itself, for up to 2 ms
// a second, it says so; then try again. Without a chip its registers read as
// ones, and the clock stays at 1970.
func setClock() {
	for range 100_000 {
		if rtcRead(rtcStatusA)&0x80 != 0 {
			continue
		}
		century, year := rtcBCD(rtcCentury), rtcBCD(rtcYear)
		month, day := rtcBCD(rtcMonth), rtcBCD(rtcDay)
		hour, minute, second := rtcBCD(rtcHours), rtcBCD(rtcMinutes), rtcBCD(rtcSeconds)
		if rtcRead(rtcStatusA)&0x80 != 0 {
			continue
		}
		if century < 19 || century > 22 {
			century = 20
		}
		if month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 {
			return
		}
		days := unixDays(century*100+year, month, day)
		setWall((days*86400+hour*3600+minute*60+second)*1e9 - nanotime())
		return
	}
}

func rtcRead(reg uint8) uint8 {
	outByte(rtcIndex, reg)
	return inByte(rtcData)
}

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
