package restart

import (
	"strings"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	for _, s := range []string{"no", "always", "on-failure", "on-failure:3"} {
		if p, err := Parse(s); err != nil || p.String() != s {
			t.Errorf("Parse(%s) = %v, %v; want the same policy", s, p, err)
		}
	}
	for _, s := range []string{"", "never", "on-failure:", "on-failure:0", "on-failure:-1", "on-failure:x", "always:3"} {
		if _, err := Parse(s); err == nil || !strings.Contains(err.Error(), "want no, on-failure") {
			t.Errorf("Parse(%q): %v; want the policies that there are", s, err)
		}
	}
}

func counter(t *testing.T, policy string) *Counter {
	t.Helper()
	p, err := Parse(policy)
	if err != nil {
		t.Fatal(err)
	}
	return p.Counter()
}

func TestWho(t *testing.T) {
	for _, tt := range []struct {
		policy string
		failed bool
		want   bool
	}{
		{"no", true, false}, {"no", false, false},
		{"on-failure", true, true}, {"on-failure", false, false},
		{"always", true, true}, {"always", false, true},
	} {
		if _, again := counter(t, tt.policy).Next(0, tt.failed); again != tt.want {
			t.Errorf("%s, failed %v: started again %v; want %v", tt.policy, tt.failed, again, tt.want)
		}
	}
}

// The waits double from 100 ms up to a minute, and begin again after ten seconds of life.
func TestWaits(t *testing.T) {
	c := counter(t, "always")
	want := 100 * time.Millisecond
	for range 40 {
		if got, _ := c.Next(9*time.Second, true); got != want {
			t.Fatalf("wait %v; want %v", got, want)
		}
		want = min(2*want, time.Minute)
	}
	if got, _ := c.Next(10*time.Second, true); got != 100*time.Millisecond {
		t.Errorf("wait %v after ten seconds of life; want 100ms", got)
	}
	if got, _ := c.Next(time.Second, true); got != 200*time.Millisecond {
		t.Errorf("wait %v after that; want 200ms", got)
	}
}

// A bound counts starts in a row: a long life begins a new row.
func TestBound(t *testing.T) {
	c := counter(t, "on-failure:2")
	for i, tt := range []struct {
		lived time.Duration
		want  bool
	}{{0, true}, {0, true}, {0, false}, {time.Minute, true}, {0, true}, {0, false}} {
		if _, again := c.Next(tt.lived, true); again != tt.want {
			t.Errorf("end %d: started again %v; want %v", i, again, tt.want)
		}
	}
}
