package clock

// The real-time clock of the PC (Motorola MC146818) counts in BCD, in 24-hour mode, as
// firmware leaves it.

// BCD returns the number that two decimal digits make.
func BCD(v uint8) int64 { return int64(v>>4*10 + v&15) }

// A Date is what the clock's registers say. Century is 0 or nonsense where there is no
// such register.
type Date struct{ Century, Year, Month, Day, Hour, Minute, Second int64 }

// Unix returns the Unix time of a date; false if it is none, as that of a clock that is
// not there, whose registers read as ones.
func (d *Date) Unix() (seconds int64, ok bool) {
	century := d.Century
	if century < 19 || century > 22 {
		century = 20
	}
	if d.Month < 1 || d.Month > 12 || d.Day < 1 || d.Day > 31 || d.Hour > 23 {
		return 0, false
	}
	return unixDays(century*100+d.Year, d.Month, d.Day)*day + d.timeOfDay(), true
}

const day = 86400 // seconds

func (d *Date) timeOfDay() int64 { return d.Hour*3600 + d.Minute*60 + d.Second }

// unixDays returns the days from 1970-01-01 to a date of the Gregorian
// calendar, counting years from March so that the leap day is the last.
func unixDays(year, month, day int64) int64 {
	if month <= 2 {
		year, month = year-1, month+12
	}
	return 365*year + year/4 - year/100 + year/400 + (153*(month-3)+2)/5 + day - 1 - 719468
}

// Jumped tells whether off, by how much more the real-time clock is ahead than at the reading
// before (s), is more than whole seconds and the rate of the other clock explain, which may be
// wrong by one in a thousand. elapsed is the time between the readings (ns).
func Jumped(off, elapsed int64) bool {
	most := 1 + elapsed/1e12
	return off > most || off < -most
}
