package test

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/yolk-unikernel/yolk/test/vm"
)

// qmpClient is QEMU's machine protocol (QMP), as its manual describes it.
type qmpClient struct {
	t    *testing.T
	conn net.Conn
	in   *json.Decoder
}

// startMonitored boots a case of testdata/prog with a monitor.
func startMonitored(t *testing.T, opt vm.Options) (*vm.VM, *qmpClient) {
	t.Helper()
	dir, err := os.MkdirTemp("", "qmp") // short, and without the commas of a test's name
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	opt.Target = prog
	opt.Flags = append(opt.Flags, "-qemu-arg", "-qmp", "-qemu-arg", "unix:"+socket+",server=on,wait=off")
	v := vm.Start(t, opt)
	m := &qmpClient{t: t}
	v.Eventually(func() (err error) { m.conn, err = net.Dial("unix", socket); return err })
	t.Cleanup(func() { m.conn.Close() })
	m.in = json.NewDecoder(m.conn)
	m.next() // the greeting
	m.do("qmp_capabilities", nil)
	return v, m
}

func (m *qmpClient) next() map[string]any {
	m.t.Helper()
	m.conn.SetDeadline(time.Now().Add(time.Minute))
	var answer map[string]any
	if err := m.in.Decode(&answer); err != nil {
		m.t.Fatal(err)
	}
	return answer
}

// do executes a command and returns its answer; events are passed over.
func (m *qmpClient) do(command string, arguments any) any {
	m.t.Helper()
	request := map[string]any{"execute": command}
	if arguments != nil {
		request["arguments"] = arguments
	}
	if err := json.NewEncoder(m.conn).Encode(request); err != nil {
		m.t.Fatal(err)
	}
	for {
		answer := m.next()
		if problem, ok := answer["error"]; ok {
			m.t.Fatalf("QMP %s: %v", command, problem)
		}
		if value, ok := answer["return"]; ok {
			return value
		}
	}
}
