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

func TestDiffers(t *testing.T) {
	now := time.Date(2031, 5, 6, 0, 0, 0, 0, time.UTC)
	for at := -3 * day; at <= 3*day; at += 997 {
		base := now.Add(time.Duration(at) * time.Second)
		for off := -10; off <= 10; off++ {
			d := registers(base.Add(time.Duration(off) * time.Second))
			if got, want := d.Differs(base.Unix()), off < -2 || off > 2; got != want {
				t.Fatalf("the chip is %d s from %v: Differs = %t; want %t", off, base, got, want)
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
		if d.Differs(got) {
			t.Errorf("%+v differs from itself", d)
		}
	})
}
