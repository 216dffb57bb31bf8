package test

import (
	"net/http"
	"testing"

	"github.com/google/pprof/profile"

	"github.com/yolk-unikernel/yolk/test/vm"
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
				name := s.Location[0].Line[0].Function.Name
				leaf[name] += s.Value[0]
			}
			// 100 a second and CPU, less what the host's other work takes.
			t.Logf("%d samples in %.1f s, %d in main.hot", all, float64(p.DurationNanos)/1e9, leaf["main.hot"])
			if all < 50 || leaf["main.hot"]*10 < all*8 {
				t.Errorf("%d samples, want some hundred, most of them in main.hot: %v", all, leaf)
			}
		})
	}
}
