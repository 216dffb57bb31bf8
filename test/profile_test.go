package test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/pprof/profile"

	"github.com/yolk-unikernel/yolk/test/internal/vm"
)

// The CPU profile of a busy server names the function that is busy, on every
// CPU.
func TestCPUProfile(t *testing.T) {
	for _, cpus := range []string{"1", "2"} {
		t.Run(cpus, func(t *testing.T) {
			m := vm.Start(t, vm.Options{Flags: []string{"-p", ":8080", "-smp", cpus}, Target: "./test/testdata/busy"})
			m.WaitFor("listening")
			resp, err := http.Get("http://" + m.Addr("tcp", 8080) + "/debug/pprof/profile?seconds=3")
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			p, err := profile.Parse(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			all, leaf := int64(0), map[string]int64{}
			for _, s := range p.Sample {
				all += s.Value[0]
				if len(s.Location) > 0 && len(s.Location[0].Line) > 0 { // none for a stack that could not be walked
					leaf[s.Location[0].Line[0].Function.Name] += s.Value[0]
				}
			}
			// 100 a second per CPU, less when the host is busy with something else
			t.Logf("%d samples in %.1f s, %d in main.hot", all, float64(p.DurationNanos)/1e9, leaf["main.hot"])
			if all < 50 || leaf["main.hot"]*10 < all*8 {
				t.Errorf("%d samples, want some hundred, most of them in main.hot: %v", all, leaf)
			}
		})
	}
}

// The idle time of a CPU does not count, even in pieces that are shorter than a sample's interval.
func TestCPUProfileOfWaiting(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(name, 1<<30); err != nil {
		t.Fatal(err)
	}
	got := runDisk(t, []string{"-disk", name}, "profile", "/dev/vda")
	var cpu int64
	var encoded string
	if _, err := fmt.Sscanf(got.Stdout, "profile %d %s", &cpu, &encoded); err != nil {
		t.Fatal(err, got.Stdout)
	}
	p, err := profile.Parse(base64.NewDecoder(base64.StdEncoding, strings.NewReader(encoded)))
	if err != nil {
		t.Fatal(err)
	}
	sampled := int64(0)
	for _, s := range p.Sample {
		sampled += s.Value[1]
	}
	t.Logf("samples of %d ms, CPU time %d ms of %d ms", sampled/1e6, cpu/1e6, p.DurationNanos/1e6)
	if sampled < cpu*3/4-50e6 || sampled > cpu*5/4+50e6 {
		t.Errorf("samples of %d ms for %d ms of CPU time", sampled/1e6, cpu/1e6)
	}
}
