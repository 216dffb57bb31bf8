package test

import (
	"bufio"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// monitor sends commands to QEMU (QMP, without arguments).
func monitor(t *testing.T, socket string, commands ...string) {
	t.Helper()
	c, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute))
	lines := bufio.NewScanner(c)
	for _, name := range append([]string{"qmp_capabilities"}, commands...) {
		fmt.Fprintf(c, "{\"execute\": %q}\n", name)
		for lines.Scan() && !strings.Contains(lines.Text(), `"return"`) {
		}
	}
	if lines.Err() != nil {
		t.Fatal(lines.Err())
	}
}

// The wall clock is the host's, also after the VMM has paused the machine.
func TestClockAfterPause(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "qmp")
	m := startServe(t, "-qemu-arg", "-qmp", "-qemu-arg", "unix:"+socket+",server=on,wait=off")
	late := func() time.Duration {
		before := time.Now()
		ms, err := strconv.ParseInt(get(t, m, "/time"), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return before.Sub(time.UnixMilli(ms))
	}
	// The real-time clock counts seconds.
	if d := late(); d > 3*time.Second || d < -3*time.Second {
		t.Errorf("the guest's clock is %v late", d)
	}
	monitor(t, socket, "stop")
	time.Sleep(6 * time.Second)
	monitor(t, socket, "cont")
	m.Eventually(func() error {
		if d := late(); d > 3*time.Second || d < -3*time.Second {
			return fmt.Errorf("after a pause the guest's clock is %v late", d)
		}
		return nil
	})
}
