package clock

import (
	"testing"
	"time"
)

func bcd(v int) uint8 { return uint8(v/10<<4 | v%10) }

// registers reads a time as the chip has it.
func registers(at time.Time) Date {
	r := func(v int) int64 { return BCD(bcd(v)) }
	return Date{r(at.Year() / 100), r(at.Year() % 100), r(int(at.Month())), r(at.Day()), r(at.Hour()), r(at.Minute()), r(at.Second())}
}

// Every day of four centuries, at some second of it.
func TestUnix(t *testing.T) {
	second := 0
	for at := time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC); at.Year() < 2300; at = at.AddDate(0, 0, 1) {
		second = (second + 7919) % day
		now := at.Add(time.Duration(second) * time.Second)
		d := registers(now)
		if got, ok := d.Unix(); !ok || got != now.Unix() {
			t.Fatalf("%v: %+v is %d, %t; want %d", now, d, got, ok, now.Unix())
		}
	}
}

func TestUnixWithoutCentury(t *testing.T) {
	now := time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)
	for _, century := range []int64{0, 165, 18} {
		d := registers(now)
		d.Century = century
		if got, ok := d.Unix(); !ok || got != now.Unix() {
			t.Errorf("with %d for the century: %d, %t; want %d", century, got, ok, now.Unix())
		}
	}
}

// A board without the chip reads as ones.
func TestNoRTC(t *testing.T) {
	ones := BCD(0xff)
	for _, d := range []Date{{ones, ones, ones, ones, ones, ones, ones}, {}} {
		if got, ok := d.Unix(); ok {
			t.Errorf("%+v is %d", d, got)
		}
	}
}

func TestUnixRefuses(t *testing.T) {
	for what, spoil := range map[string]func(*Date){
		"month 0":  func(d *Date) { d.Month = 0 },
		"month 13": func(d *Date) { d.Month = 13 },
		"day 0":    func(d *Date) { d.Day = 0 },
		"day 32":   func(d *Date) { d.Day = 32 },
		"hour 24":  func(d *Date) { d.Hour = 24 },
	} {
		d := registers(time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC))
		spoil(&d)
		if got, ok := d.Unix(); ok {
			t.Errorf("%s is accepted: %+v is %d", what, d, got)
		}
	}
}

// A clock that is read in whole seconds, and another that runs at a slightly wrong rate: no
// moments of two readings are a jump, and each jump of three seconds is one.
func TestJumped(t *testing.T) {
	const ms = 1_000_000
	for begin := int64(0); begin < 2000; begin += 37 { // ms
		for _, elapsed := range []int64{1, 50, 100, 999, 1000, 5000, 3_600_000, 86_400_000} { // ms
			for _, rate := range []int64{-900, 0, 900} { // in a million
				other := func(ms int64) int64 { return (ms + ms*rate/1_000_000) / 1000 }
				end := begin + elapsed
				before := begin/1000 - other(begin)
				if off := end/1000 - other(end) - before; Jumped(off, elapsed*ms) {
					t.Fatalf("from %d ms, %d ms later, rate %d: Jumped(%d) = true; want false", begin, elapsed, rate, off)
				}
				slack := elapsed / 1_000_000 * 2
				for _, jump := range []int64{3 + slack, 60, 3600, 86400, -3 - slack, -86400} {
					if jump > -3-slack && jump < 3+slack {
						continue
					}
					if off := end/1000 + jump - other(end) - before; !Jumped(off, elapsed*ms) {
						t.Fatalf("from %d ms, %d ms later, rate %d: a jump of %d s is not seen", begin, elapsed, rate, jump)
					}
				}
			}
		}
	}
}

func FuzzDate(f *testing.F) {
	f.Add([]byte{0x20, 0x31, 5, 6, 7, 8, 9})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < 7 {
			return
		}
		d := Date{BCD(b[0]), BCD(b[1]), BCD(b[2]), BCD(b[3]), BCD(b[4]), BCD(b[5]), BCD(b[6])}
		got, ok := d.Unix()
		if !ok {
			return
		}
		century := int(d.Century)
		if century < 19 || century > 22 {
			century = 20
		}
		// Both count days and seconds beyond the end of a month or minute on.
		want := time.Date(century*100+int(d.Year), time.Month(d.Month), int(d.Day), int(d.Hour), int(d.Minute), int(d.Second), 0, time.UTC)
		if got != want.Unix() {
			t.Errorf("%+v is %d; want %d", d, got, want.Unix())
		}
	})
}
