// Package qmp speaks the QEMU Machine Protocol, QEMU's monitor for programs:
// JSON commands and replies over a Unix socket, with events between them (QEMU
// manual, "QEMU Machine Protocol Specification"). Start with [Dial].
package qmp

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// greetingWait is how long a monitor may take to greet. It greets at once unless another client is
// connected to it.
const greetingWait = 10 * time.Second

// ErrBusy says that the monitor did not greet: it serves one client at a time.
var ErrBusy = errors.New("the VM's monitor does not answer: another program may be using it")

// Event is an event of the machine, such as GUEST_PANICKED.
type Event struct {
	Name string
	Data json.RawMessage
}

// Error is a command's error message from QEMU.
type Error struct {
	Command string
	Class   string `json:"class"`
	Desc    string `json:"desc"`
}

func (e *Error) Error() string { return fmt.Sprintf("QEMU: %s: %s", e.Command, e.Desc) }

// Client is a connection to a monitor. Its methods may be called concurrently;
// commands run one after the other.
type Client struct {
	conn    *net.UnixConn
	mu      sync.Mutex // one command at a time
	replies chan message
	events  chan Event
}

// message is anything that a monitor sends.
type message struct {
	QMP    json.RawMessage `json:"QMP"`
	Return json.RawMessage `json:"return"`
	Error  *Error          `json:"error"`
	Event  string          `json:"event"`
	Data   json.RawMessage `json:"data"`
}

// Dial connects to the monitor at a socket's path.
func Dial(path string) (*Client, error) {
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	return New(conn)
}

// New takes over a connection to a monitor, which it closes on failure, and
// negotiates the capabilities (none).
func New(conn *net.UnixConn) (*Client, error) {
	c := &Client{conn: conn, replies: make(chan message), events: make(chan Event, 16)}
	r := bufio.NewReader(conn)
	conn.SetReadDeadline(time.Now().Add(greetingWait))
	line, err := r.ReadBytes('\n')
	conn.SetReadDeadline(time.Time{})
	var greeting message
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = ErrBusy
	case err == nil:
		err = json.Unmarshal(line, &greeting)
		if err == nil && greeting.QMP == nil {
			err = errors.New("no QMP greeting")
		}
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("connecting to QEMU's monitor: %w", err)
	}
	go c.read(r)
	if err := c.Execute("qmp_capabilities", nil, nil); err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

// read sorts the monitor's messages until the connection ends. An event that is not received is
// dropped, so that replies get through.
func (c *Client) read(r io.Reader) {
	defer close(c.replies)
	defer close(c.events)
	d := json.NewDecoder(r)
	for {
		var m message
		if d.Decode(&m) != nil {
			return
		}
		if m.Event == "" {
			c.replies <- m
			continue
		}
		select {
		case c.events <- Event{m.Event, m.Data}:
		default:
		}
	}
}

// Events returns the machine's events. It is closed when the connection ends.
func (c *Client) Events() <-chan Event { return c.events }

// Execute runs a command and stores its result in result, if not nil.
func (c *Client) Execute(command string, args map[string]any, result any) error {
	return c.execute(command, args, result, nil)
}

// SendFile gives QEMU a copy of an open file under a name, by which later commands refer to it
// ("fd:NAME").
func (c *Client) SendFile(name string, f *os.File) error {
	return c.execute("getfd", map[string]any{"fdname": name}, nil, syscall.UnixRights(int(f.Fd())))
}

func (c *Client) execute(command string, args map[string]any, result any, rights []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	text, err := json.Marshal(struct {
		Execute   string         `json:"execute"`
		Arguments map[string]any `json:"arguments,omitempty"`
	}{command, args})
	if err != nil {
		return err
	}
	if _, _, err := c.conn.WriteMsgUnix(append(text, '\n'), rights, nil); err != nil {
		return fmt.Errorf("QEMU: %s: %w", command, err)
	}
	m, ok := <-c.replies
	switch {
	case !ok:
		return fmt.Errorf("QEMU: %s: the connection ended: %w", command, io.ErrUnexpectedEOF)
	case m.Error != nil:
		m.Error.Command = command
		return m.Error
	case result != nil:
		return json.Unmarshal(m.Return, result)
	}
	return nil
}

// Close ends the connection. The machine keeps running.
func (c *Client) Close() error { return c.conn.Close() }
