package wiring_test

import (
	"strings"
	"syscall"
	"testing"

	"github.com/yolk-unikernel/yolk/runtime/wiring"
	"github.com/yolk-unikernel/yolk/runtime/wiring/wiringtest"
)

func TestZoneOf(t *testing.T) {
	for env, want := range map[string]string{
		"": "", "TZ=": "", "TZ=UTC": "", "TZ=:UTC": "", "TZ=/etc/localtime": "", "TZ=:": "",
		"TZ=Europe/Rome": "Europe/Rome", "TZ=:Europe/Rome": "Europe/Rome", "X=1 TZ=A TZ=B": "A", "TZX=A": "",
	} {
		if got := wiring.ZoneOf(strings.Fields(env)); got != want {
			t.Errorf("%q: %q; want %q", env, got, want)
		}
	}
}

// A program that carries the time zones finds the one that TZ names; otherwise a line says that it is
// missing.
func TestProvideZone(t *testing.T) {
	for _, tt := range []struct {
		zone  string
		zones func(string) (string, error)
		found bool
	}{
		{"Europe/Rome", oneZone, true},
		{"Mars/Base", oneZone, false},
		{"Europe/Rome", nil, false},
	} {
		t.Run(tt.zone, func(t *testing.T) {
			wiringtest.Bubble(t, func(t *testing.T, m *wiringtest.Machine) {
				m.Zones, m.Env = tt.zones, []string{"TZ=" + tt.zone}
				m.Start()
				fd, e := m.Call(syscall.SYS_OPEN, "/usr/share/zoneinfo/"+tt.zone, syscall.O_RDONLY, 0)
				if (e == 0) != tt.found {
					t.Errorf("its file: %d, %v; want found %v", fd, e, tt.found)
				}
				if out := m.Output(); strings.Contains(out, "TZ="+tt.zone+": no such time zone") == tt.found {
					t.Errorf("the console says %q", out)
				}
			})
		})
	}
}

func oneZone(name string) (string, error) {
	if name == "Europe/Rome" {
		return "TZif", nil
	}
	return "", syscall.ENOENT
}
