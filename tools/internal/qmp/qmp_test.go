package qmp

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
)

// pair returns both ends of a connection.
func pair(t *testing.T) (here, there *net.UnixConn) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]*net.UnixConn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "")
		c, err := net.FileConn(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		ends[i] = c.(*net.UnixConn)
	}
	return ends[0], ends[1]
}

const greeting = `{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}}, "capabilities": ["oob"]}}`

// monitor answers commands from a table, as QEMU does.
func monitor(conn *net.UnixConn, answers map[string]string) {
	fmt.Fprintf(conn, "%s\r\n", greeting)
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		for command, answer := range answers {
			if strings.Contains(lines.Text(), `"execute":"`+command+`"`) {
				fmt.Fprintf(conn, "%s\r\n", answer)
			}
		}
	}
}

func TestExecute(t *testing.T) {
	here, there := pair(t)
	go monitor(there, map[string]string{
		"qmp_capabilities": `{"return": {}}`,
		"query-status":     `{"event": "STOP", "timestamp": {"seconds": 1, "microseconds": 2}}` + "\r\n" + `{"return": {"running": false, "status": "guest-panicked"}}`,
		"cont":             `{"error": {"class": "GenericError", "desc": "no"}}`,
	})
	c, err := New(here)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var status struct{ Status string }
	if err := c.Execute("query-status", nil, &status); err != nil || status.Status != "guest-panicked" {
		t.Errorf("query-status = %+v, %v; want guest-panicked", status, err)
	}
	if e := <-c.Events(); e.Name != "STOP" {
		t.Errorf("event %q; want STOP", e.Name)
	}
	var e *Error
	if err := c.Execute("cont", nil, nil); !errors.As(err, &e) || e.Error() != "QEMU: cont: no" {
		t.Errorf("cont = %v; want QEMU's error", err)
	}
	there.Close()
	if err := c.Execute("query-status", nil, nil); err == nil {
		t.Error("a command after the end of the connection succeeds")
	}
}

func TestSendFile(t *testing.T) {
	here, there := pair(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got := make(chan error, 1)
	go func() {
		fmt.Fprintf(there, "%s\n", greeting)
		buf, oob := make([]byte, 4096), make([]byte, 64)
		there.Read(buf)
		fmt.Fprintln(there, `{"return": {}}`)
		_, n, _, _, err := there.ReadMsgUnix(buf, oob)
		if err != nil {
			got <- err
			return
		}
		msgs, _ := syscall.ParseSocketControlMessage(oob[:n])
		fds, err := syscall.ParseUnixRights(&msgs[0])
		if err != nil {
			got <- err
			return
		}
		f := os.NewFile(uintptr(fds[0]), "")
		_, err = f.WriteString("through the pipe")
		f.Close()
		fmt.Fprintln(there, `{"return": {}}`)
		got <- err
	}()
	c, err := New(here)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SendFile("dump", w); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if err := <-got; err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(r); string(text) != "through the pipe" || err != nil {
		t.Errorf("read %q, %v", text, err)
	}
}

func TestNoMonitor(t *testing.T) {
	here, there := pair(t)
	go fmt.Fprintln(there, `{"return": {}}`)
	if _, err := New(here); err == nil {
		t.Error("a peer that does not greet is accepted")
	}
	if _, err := Dial(t.TempDir() + "/none"); err == nil {
		t.Error("Dial succeeds without a socket")
	}
}
