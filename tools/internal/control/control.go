// Package control is the socket between the process that holds a VM and the commands that ask it for
// something: a Unix socket in the VM's folder, which only the user may enter. A client sends one
// request, a line of JSON, and gets one reply, when that is done. After the reply to Attach the client
// sends what the VM is to read, and after that to Ask its questions. Start with [Listen] and [Call].
package control

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/yolk-unikernel/yolk/tools/internal/vmdir"
)

// Operations.
const (
	Stop    = "stop"    // SIGTERM, SIGKILL after the grace; the reply comes at the end
	Kill    = "kill"    // SIGKILL
	Restart = "restart" // Stop, and start again; the reply comes when the VM runs
	Wait    = "wait"    // the reply comes at the end
	Attach  = "attach"  // what follows is input
	Ask     = "ask"     // what follows are questions for the guest, and its answers (package inside)
)

// Request is what a client asks for.
type Request struct {
	Op    string
	Grace time.Duration `json:",omitempty"` // of Stop and Restart
}

// Reply is the answer.
type Reply struct {
	Error string     `json:",omitempty"`
	End   *vmdir.End `json:",omitempty"` // of a VM that has ended
	Build string     `json:",omitempty"` // of Ask: the build ID of the image that runs
}

const socketName = "control"

// maxRequest is the longest request, in bytes.
const maxRequest = 4096

// requestWait is how long a client may take to send its request.
const requestWait = 5 * time.Second

// Listener serves the requests for one VM.
type Listener struct {
	l       *net.UnixListener
	replies sync.WaitGroup // that are to be sent
}

// within calls f with a path of the socket that is short enough for any folder (unix(7) allows 107
// bytes): through a descriptor of the folder.
func within(dir string, f func(path string) error) error {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	defer unix.Close(fd)
	return f(fmt.Sprintf("/proc/self/fd/%d/%s", fd, socketName))
}

// Listen makes the socket in a VM's folder, which this process holds.
func Listen(dir string) (*Listener, error) {
	if err := os.Remove(filepath.Join(dir, socketName)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	s := &Listener{}
	err := within(dir, func(path string) (err error) {
		s.l, err = net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		return err
	})
	if err != nil {
		return nil, err
	}
	s.l.SetUnlinkOnClose(false) // the path is valid for a moment alone
	return s, nil
}

// Serve calls handle for each request until Close. The reply is sent when handle returns it. Its second
// result, if not nil, is called after that with the connection.
func (s *Listener) Serve(handle func(Request) (Reply, func(io.ReadWriter))) {
	for {
		conn, err := s.l.AcceptUnix()
		if err != nil {
			return
		}
		s.replies.Add(1)
		go s.serve(conn, handle)
	}
}

func (s *Listener) serve(conn *net.UnixConn, handle func(Request) (Reply, func(io.ReadWriter))) {
	defer conn.Close()
	read, in := s.answer(conn, handle)
	s.replies.Done()
	if read != nil {
		read(struct {
			io.Reader
			io.Writer
		}{in, conn})
	}
}

// answer serves one request until its reply is sent, and returns what reads the rest.
func (s *Listener) answer(conn *net.UnixConn, handle func(Request) (Reply, func(io.ReadWriter))) (read func(io.ReadWriter), rest io.Reader) {
	conn.SetReadDeadline(time.Now().Add(requestWait))
	in := bufio.NewReaderSize(conn, maxRequest)
	line, err := in.ReadSlice('\n')
	if err != nil {
		return nil, nil
	}
	conn.SetReadDeadline(time.Time{})
	var q Request
	if err := json.Unmarshal(line, &q); err != nil {
		json.NewEncoder(conn).Encode(Reply{Error: err.Error()})
		return nil, nil
	}
	reply, read := handle(q)
	if json.NewEncoder(conn).Encode(reply) != nil {
		return nil, nil
	}
	return read, in
}

// Drain waits until the replies to all requests are sent, for at most that long.
func (s *Listener) Drain(patience time.Duration) {
	sent := make(chan struct{})
	go func() { s.replies.Wait(); close(sent) }()
	select {
	case <-sent:
	case <-time.After(patience):
	}
}

// Close ends Serve. Requests that are being served go on.
func (s *Listener) Close() error { return s.l.Close() }

// ErrGone says that the process that held the VM ended before it answered.
var ErrGone = errors.New("the VM's process has ended")

// ErrSilent says that nobody took the request.
var ErrSilent = errors.New("the VM's process does not answer")

// Conn is a request that is being served.
type Conn struct {
	*net.UnixConn
	in *bufio.Reader
}

// Open sends a request to the process that holds the VM of a folder.
func Open(dir string, q Request) (*Conn, error) {
	var conn *net.UnixConn
	err := within(dir, func(path string) (err error) {
		conn, err = net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
		return err
	})
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, unix.ECONNREFUSED):
		return nil, ErrGone
	case errors.Is(err, unix.EAGAIN): // the queue of the socket is full
		return nil, ErrSilent
	case err != nil:
		return nil, err
	}
	if err := json.NewEncoder(conn).Encode(q); err != nil {
		conn.Close()
		return nil, ErrGone
	}
	return &Conn{conn, bufio.NewReader(conn)}, nil
}

// Reply waits for the answer, for at most that long if patience is not 0.
func (c *Conn) Reply(patience time.Duration) (Reply, error) {
	if patience > 0 {
		c.SetReadDeadline(time.Now().Add(patience))
	}
	line, err := c.in.ReadBytes('\n')
	c.SetReadDeadline(time.Time{})
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return Reply{}, ErrSilent
	case err != nil:
		return Reply{}, ErrGone
	}
	var r Reply
	if err := json.Unmarshal(line, &r); err != nil {
		return r, err
	}
	if r.Error != "" {
		return r, errors.New(r.Error)
	}
	return r, nil
}

// Read reads what follows the reply.
func (c *Conn) Read(p []byte) (int, error) { return c.in.Read(p) }

// Call sends a request and waits for the answer, for at most that long if patience is not 0.
func Call(dir string, q Request, patience time.Duration) (Reply, error) {
	c, err := Open(dir, q)
	if err != nil {
		return Reply{}, err
	}
	defer c.Close()
	return c.Reply(patience)
}
