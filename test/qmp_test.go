package test

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/yolk-unikernel/yolk/test/internal/vm"
)

// qmpClient is a client of QEMU's machine protocol (QMP), as QEMU's manual describes it.
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
	return v, dialMonitor(t, v, socket)
}

// dialMonitor connects to the monitor of a machine that has been started.
func dialMonitor(t *testing.T, v *vm.VM, socket string) *qmpClient {
	t.Helper()
	m := &qmpClient{t: t}
	v.Eventually(func() (err error) { m.conn, err = net.Dial("unix", socket); return err })
	t.Cleanup(func() { m.conn.Close() })
	m.in = json.NewDecoder(m.conn)
	if _, err := m.next(); err != nil { // the greeting
		t.Fatal(err)
	}
	m.do("qmp_capabilities", nil)
	return m
}

func (m *qmpClient) next() (answer map[string]any, err error) {
	m.conn.SetDeadline(time.Now().Add(time.Minute))
	err = m.in.Decode(&answer)
	return answer, err
}

// do executes a command and returns its answer; it skips events.
func (m *qmpClient) do(command string, arguments any) any {
	m.t.Helper()
	value, err := m.try(command, arguments)
	if err != nil {
		m.t.Fatalf("QMP %s: %v", command, err)
	}
	return value
}

// try is do for a command that may end the VM before the answer.
func (m *qmpClient) try(command string, arguments any) (any, error) {
	request := map[string]any{"execute": command}
	if arguments != nil {
		request["arguments"] = arguments
	}
	if err := json.NewEncoder(m.conn).Encode(request); err != nil {
		return nil, err
	}
	for {
		answer, err := m.next()
		if err != nil {
			return nil, err
		}
		if problem, ok := answer["error"]; ok {
			return nil, fmt.Errorf("%v", problem)
		}
		if value, ok := answer["return"]; ok {
			return value, nil
		}
	}
}
