//go:build tamago

package yolk

import (
	"time"

	"github.com/usbarmory/tamago/soc/intel/rtc"
)

// setClock reads the wall clock from the real-time clock (MC146818). While the
// chip updates itself, for up to 2 ms a second, it says so; then try again.
// Without a chip its registers read as ones and the date is nonsense: the
// clock stays at 1970.
func setClock() {
	chip := rtc.RTC{Location: time.UTC}
	for range 10000 {
		if now, err := chip.Now(); err == nil {
			if now.Year() >= 2000 && now.Year() < 2200 {
				setWall(now.UnixNano() - nanotime())
			}
			return
		}
	}
}
