package qemu

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/yolk-unikernel/yolk/tools/internal/qmp"
)

// monitored is QEMU's side of a monitor. Its machine has the given states, one for each
// query-status; after a query it sends the text in events.
func monitored(conn net.Conn, states []string, events map[int]string, resumed chan<- string) {
	fmt.Fprintln(conn, `{"QMP": {}}`)
	state, queries := "running", 0
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		switch text := lines.Text(); {
		case strings.Contains(text, "query-status"):
			if queries < len(states) {
				state = states[queries]
			}
			fmt.Fprintf(conn, "{\"return\": {\"status\": %q}}\n%s", state, events[queries])
			queries++
		case strings.Contains(text, "cont"):
			resumed <- state
			state = "running"
			fallthrough
		default:
			fmt.Fprintln(conn, `{"return": {}}`)
		}
	}
}

// A crash is detected at any time: before the monitor is connected, when no event reports it, and
// between the event and the stop of the machine.
func TestCrashIsSeen(t *testing.T) {
	const panicked, stop = `{"event": "GUEST_PANICKED"}` + "\n", `{"event": "STOP"}` + "\n"
	for name, tt := range map[string]struct {
		states []string
		events map[int]string
	}{
		"before the connection": {[]string{"guest-panicked"}, nil},
		"while connecting":      {[]string{"guest-panicked", "running"}, map[int]string{0: panicked + stop}},
		"later":                 {[]string{"running", "guest-panicked"}, map[int]string{0: panicked + stop}},
		"after a pause":         {[]string{"running", "paused", "guest-panicked"}, map[int]string{0: stop, 1: stop}},
	} {
		ours, theirs, err := socketPair()
		if err != nil {
			t.Fatal(err)
		}
		there, err := net.FileConn(theirs)
		theirs.Close()
		if err != nil {
			t.Fatal(err)
		}
		resumed := make(chan string, 2)
		go monitored(there, tt.states, tt.events, resumed)
		calls := make(chan bool, 2)
		vm := &VM{con: Console{Crashed: func(*qmp.Client) { calls <- true }}, done: make(chan struct{})}
		go vm.watchCrash(ours)
		select {
		case state := <-resumed:
			if state != "guest-panicked" || len(calls) != 1 {
				t.Errorf("%s: resumed from %q after %d calls; want one from guest-panicked", name, state, len(calls))
			}
		case <-time.After(10 * time.Second):
			t.Errorf("%s: the crash is not seen", name)
		}
		there.Close()
	}
}
