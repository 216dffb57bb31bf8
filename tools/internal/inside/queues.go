package inside

import (
	"strconv"
	"strings"
	"time"
)

// A Device is a virtio device of the machine.
type Device struct {
	Kind       string  `json:"kind"`     // such as net
	Location   string  `json:"location"` // such as pci 00:02.0
	State      string  `json:"state"`    // works, ended or unused
	Interrupts uint64  `json:"interrupts"`
	Queues     []Queue `json:"queues"`
}

// A Queue is a virtqueue (virtio 1.2 §2.7).
type Queue struct {
	Number    int    `json:"number"`
	Use       string `json:"use"` // such as receive
	Size      int    `json:"size"`
	Available uint16 `json:"available"` // index: buffers that the driver has given to the device, modulo 2^16
	Used      uint16 `json:"used"`      // index: those that the device was done with
	Held      uint16 `json:"held"`      // by the device
	Moved     uint16 `json:"moved"`     // buffers that the device was done with between the two looks
	State     string `json:"state"`     // empty, moves, waits (for input) or stuck
}

// kinds of devices, and the uses of their queues, by the numbers of virtio 1.2 §5.
var kinds = map[uint64]struct {
	name string
	uses func(queue int) string
}{
	1:  {"net", func(q int) string { return []string{"receive", "send"}[q%2] }},
	2:  {"block", func(int) string { return "requests" }},
	3:  {"console", consoleUse},
	4:  {"entropy", func(int) string { return "receive" }},
	5:  {"balloon", func(q int) string { return pick(q, "inflate", "deflate", "statistics", "free pages", "reports") }},
	9:  {"9p", func(int) string { return "requests" }},
	19: {"vsock", func(q int) string { return pick(q, "receive", "send", "events") }},
}

func pick(i int, names ...string) string {
	if i < len(names) {
		return names[i]
	}
	return "other"
}

// consoleUse names the queues of a console: two for port 0, two for control messages, two for each further port (§5.3.2).
func consoleUse(q int) string {
	use := []string{"receive", "send"}[q%2]
	switch q / 2 {
	case 0:
		return use + " port 0"
	case 1:
		return use + " control"
	}
	return use + " port " + strconv.Itoa(q/2-1)
}

// look is the time between two looks at the queues.
const look = time.Second

// Devices asks for the virtqueues, twice, so that it is seen which of them move.
func (s *Session) Devices() ([]Device, error) {
	first, err := s.Text("queues")
	if err != nil {
		return nil, err
	}
	time.Sleep(look)
	second, err := s.Text("queues")
	if err != nil {
		return nil, err
	}
	list := parseDevices(second)
	compare(parseDevices(first), list)
	return list, nil
}

func parseDevices(text string) []Device {
	list := []Device{}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if rest, ok := strings.CutPrefix(line, "device "); ok {
			if d, ok := parseDevice(rest); ok {
				list = append(list, d)
			}
		} else if rest, ok := strings.CutPrefix(line, "queue "); ok && len(list) > 0 {
			d := &list[len(list)-1]
			if n := numbers(rest, 16); len(n) == 4 {
				d.Queues = append(d.Queues, Queue{Number: int(n[0]), Size: int(n[1]), Available: uint16(n[2]), Used: uint16(n[3])})
			}
		}
	}
	return list
}

// parseDevice reads TYPE "LOCATION" [STATUS INTERRUPTS].
func parseDevice(s string) (d Device, ok bool) {
	typ, rest, _ := strings.Cut(s, " ")
	quoted, err := strconv.QuotedPrefix(rest)
	if err != nil {
		return d, false
	}
	number, err := strconv.ParseUint(typ, 10, 32)
	d = Device{Kind: "type " + typ, State: "unused", Queues: []Queue{}}
	d.Location, _ = strconv.Unquote(quoted)
	if k, ok := kinds[number]; ok {
		d.Kind = k.name
	}
	if n := numbers(rest[len(quoted):], 64); len(n) == 2 {
		d.State, d.Interrupts = "works", n[1]
		const driverOK = 4
		if n[0]&driverOK == 0 {
			d.State = "ended"
		}
	}
	return d, err == nil
}

// numbers reads decimal numbers of at most that many bits, up to the first word that is none.
func numbers(s string, bits int) (list []uint64) {
	for _, w := range strings.Fields(s) {
		n, err := strconv.ParseUint(w, 10, bits)
		if err != nil {
			break
		}
		list = append(list, n)
	}
	return list
}

// compare fills in what two looks at the devices tell.
func compare(before, now []Device) {
	for i := range now {
		d := &now[i]
		for j := range d.Queues {
			q := &d.Queues[j]
			q.Use = useOf(d.Kind, q.Number)
			q.Held = q.Available - q.Used
			if i < len(before) && j < len(before[i].Queues) {
				q.Moved = q.Used - before[i].Queues[j].Used
			}
			q.State = q.state()
		}
	}
}

func useOf(kind string, queue int) string {
	for _, k := range kinds {
		if k.name == kind {
			return k.uses(queue)
		}
	}
	return "other"
}

// state tells what a queue does. A device holds buffers for input as long as none comes; other requests it is to
// answer.
func (q *Queue) state() string {
	switch {
	case q.Moved > 0:
		return "moves"
	case q.Held == 0:
		return "empty"
	case strings.HasPrefix(q.Use, "receive") || q.Use == "statistics" || q.Use == "events":
		return "waits"
	}
	return "stuck"
}
