// Package more answers those questions of the host that take more code than package ask alone: about the heap, CPU time and
// execution, and what the kernel and the drivers know. Programs have it that link package context.
//
// Start reading at answer.
package more

import (
	"strconv"
	"strings"

	"github.com/yolk-unikernel/yolk/runtime/wiring"
	"github.com/yolk-unikernel/yolk/runtime/wiring/ask"
	"github.com/yolk-unikernel/yolk/runtime/wiring/devices"
)

func init() { ask.More = answer }

// answer answers a question; it returns what is missing, or "":
//
//	heap       the profile of the heap: see heap
//	profile    begins a CPU profile: see profile
//	trace      begins a trace of the execution
//	more       what these have found since the last question
//	stop       their end, and what is left of them
//	read PATH  a file of /proc/1/net, /proc/1/mounts or /dev/kmsg
//	files      the open files: see kernel.OpenFiles
//	queues     the virtqueues: see queues
func answer(w *ask.Answer, word, arg string) string {
	switch word {
	case "heap":
		heap(w)
	case "profile":
		return start(CPUProfile)
	case "trace":
		return start(&tracing)
	case "more":
		if running == nil {
			return "nothing was begun"
		}
		running.More(w)
	case "stop":
		if running != nil {
			running.Stop(w)
			running = nil
		}
	case "read":
		return read(w, arg)
	case "files":
		if !wiring.Kernel.OpenFiles(func(p []byte) bool { return sent(w, p) }) {
			return "the image does not carry that: the program opens no files"
		}
	case "queues":
		queues(w)
	default:
		return "unknown question " + strconv.Quote(word)
	}
	return ""
}

func sent(w *ask.Answer, p []byte) bool {
	_, err := w.Write(p)
	return err == nil
}

// read sends a file that may be read: to read it changes nothing and does not wait.
func read(w *ask.Answer, path string) string {
	name, network := strings.CutPrefix(path, "/proc/1/net/")
	if path != "/proc/1/mounts" && path != "/dev/kmsg" && (!network || strings.Contains(name, "/")) {
		return path + " is not for the host to read"
	}
	if e := wiring.Kernel.ReadFile(path, func(p []byte) bool { return sent(w, p) }); e != 0 {
		return path + ": " + e.Error()
	}
	return ""
}

// queues sends a line for each device: its virtio type, place, status and the interrupts that were served; and one for each of its
// queues: its number, size, available and used index. Of a device that nobody uses there is the type and the place.
func queues(w *ask.Answer) {
	for _, d := range devices.Devices() {
		b := append(strconv.AppendUint([]byte("device "), uint64(d.Type), 10), ' ')
		b = strconv.AppendQuote(b, d.Location)
		p := d.Progress()
		if p == nil {
			p = &devices.Progress{}
		} else {
			b = numbers(b, uint64(p.Status), p.Interrupts)
		}
		b = append(b, '\n')
		for _, q := range p.Queues {
			b = append(numbers(append(b, "queue"...), uint64(q.Number), uint64(q.Size), uint64(q.Available), uint64(q.Used)), '\n')
		}
		if !sent(w, b) {
			return
		}
	}
}

// numbers appends numbers, a blank before each.
func numbers(b []byte, list ...uint64) []byte {
	for _, v := range list {
		b = strconv.AppendUint(append(b, ' '), v, 10)
	}
	return b
}
