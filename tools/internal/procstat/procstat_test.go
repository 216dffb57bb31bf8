package procstat

import (
	"os"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	cpu, err := parseCPU([]byte("7 (a b) c) S 1 7 7 0 -1 4194560 9 0 0 0 250 50 0 0 20 0 1 0 99 1 2\n"))
	if cpu != 3*time.Second || err != nil {
		t.Errorf("CPU time %v, %v; want 3s", cpu, err)
	}
	maps := []byte("00400000-7fff [rollup]\nRss:             300 kB\nPss:             200 kB\n")
	rss, err := parseKB(maps, "Rss:")
	if rss != 300<<10 || err != nil {
		t.Errorf("RSS %d, %v; want 300 KiB", rss, err)
	}
	for _, bad := range []string{"", ")", "1 (x) S 1 2"} {
		if _, err := parseCPU([]byte(bad)); err == nil {
			t.Errorf("parseCPU(%q) has no error", bad)
		}
	}
	if _, err := parseKB(maps, "Swap:"); err == nil {
		t.Error("a line that is missing is no error")
	}
}

// This process uses a CPU for a while: that is what is measured.
func TestSelf(t *testing.T) {
	a, err := Read(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(300 * time.Millisecond); time.Now().Before(end); {
	}
	b, err := Read(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if b.CPU <= a.CPU || b.RSS < 1<<20 || b.PSS <= 0 || b.PSS > b.RSS {
		t.Errorf("%+v after %+v; want more CPU time, and memory", b, a)
	}
	if p := Percent(a, b); p <= 0 || p > 1000 {
		t.Errorf("%.1f %% of a CPU", p)
	}
	if Percent(a, a) != 0 {
		t.Error("no time between two samples is not 0 %")
	}
}
