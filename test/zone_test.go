package test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/yolk-unikernel/yolk/test/internal/vm"
)

// TZ and /etc/localtime decide local time as on Linux.
func TestTimeZone(t *testing.T) {
	t.Parallel()
	zone := filepath.Join(t.TempDir(), "zone")
	data, err := os.ReadFile("/usr/share/zoneinfo/Asia/Tokyo")
	if err != nil {
		t.Skip(err)
	}
	if err := os.WriteFile(zone, data, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, flags, want string }{
		{"none", "", "2023-11-14 22:13:20 +0000 UTC\n"},
		{"name", "-e TZ=Europe/Rome", "2023-11-14 23:13:20 +0100 CET\n"},
		{"colon", "-e TZ=:America/St_Johns", "2023-11-14 18:43:20 -0330 NST\n"},
		{"utc", "-e TZ=UTC", "2023-11-14 22:13:20 +0000 UTC\n"},
		{"last wins", "-e TZ=Mars/Base -e TZ=Europe/Rome", "2023-11-14 23:13:20 +0100 CET\n"},
		{"localtime", "-files " + zone + ":/etc/localtime", "2023-11-15 07:13:20 +0900 JST\n"},
		{"path", "-e TZ=/zone -files " + zone + ":/zone", "2023-11-15 07:13:20 +0900 JST\n"},
		{"own file", "-e TZ=Mars/Base -files " + zone + ":/usr/share/zoneinfo/Mars/Base", "2023-11-15 07:13:20 +0900 JST\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := vm.Run(t, vm.Options{Target: "./test/testdata/zone", Flags: strings.Fields(tt.flags)})
			if got.Stdout != tt.want || got.Status != 0 {
				t.Errorf("%q; want %q (%s)", got.Stdout, tt.want, got.Stderr)
			}
		})
	}
	for _, name := range []string{"Mars/Base", "../../etc/passwd"} {
		got := vm.Run(t, vm.Options{Target: "./test/testdata/zone", Flags: []string{"-e", "TZ=" + name}})
		if got.Status == 0 || !strings.Contains(got.Stderr, "TZ="+name) {
			t.Errorf("TZ=%s: %+v", name, got)
		}
	}
}
