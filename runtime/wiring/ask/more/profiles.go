package more

import (
	"encoding/binary"
	"runtime"

	"github.com/yolk-unikernel/yolk/runtime/wiring"
	"github.com/yolk-unikernel/yolk/runtime/wiring/ask"
)

// heap sends 64-bit words, little-endian: the bytes between two samples, and for each place that allocates the allocated and the
// freed bytes, the allocated and the freed objects, the number of return addresses and these.
func heap(w *ask.Answer) {
	var records []runtime.MemProfileRecord
	n, ok := 0, false
	for !ok {
		records = make([]runtime.MemProfileRecord, n+n/8+16)
		n, ok = runtime.MemProfile(records, true)
	}
	b := words(nil, uint64(runtime.MemProfileRate))
	for i := range records[:n] {
		r := &records[i]
		stack := r.Stack()
		b = words(b, uint64(r.AllocBytes), uint64(r.FreeBytes), uint64(r.AllocObjects), uint64(r.FreeObjects), uint64(len(stack)))
		for _, pc := range stack {
			b = words(b, uint64(pc))
		}
		if !sent(w, b) {
			return
		}
		b = b[:0]
	}
	w.Write(b)
}

// words appends 64-bit words, little-endian.
func words(b []byte, list ...uint64) []byte {
	for _, v := range list {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	return b
}

// A Recorder records what the program does until it is stopped.
type Recorder struct {
	Start func() string       // returns why it does not record, or ""
	More  func(w *ask.Answer) // sends what is there
	Stop  func(w *ask.Answer) // ends it, and sends the rest
}

// running is the recorder at work, nil if there is none. Questions come one after the other.
var running *Recorder

func start(r *Recorder) string {
	if running != nil {
		return "something is being recorded for the host already"
	}
	why := r.Start()
	if why == "" {
		running = r
	}
	return why
}

// rate is that of runtime/pprof, in samples a second of CPU time.
const rate = 100

// CPUProfile sends 64-bit words as the runtime has them (wiring.ReadProfile), little-endian. Package pprof replaces it.
var CPUProfile = &Recorder{
	Start: func() string {
		if !wiring.StartProfile(rate) {
			return Busy
		}
		return ""
	},
	More: func(w *ask.Answer) { sendProfile(w) },
	Stop: func(w *ask.Answer) {
		wiring.StopProfile()
		for !sendProfile(w) {
		}
	},
}

// Busy says why there is no CPU profile.
const Busy = "the program itself takes a CPU profile"

// sendProfile sends what was sampled, and reports whether that was the end.
func sendProfile(w *ask.Answer) (end bool) {
	for {
		data, end := wiring.ReadProfile()
		if len(data) == 0 {
			return end
		}
		w.Write(words(nil, data...))
	}
}

// tracing sends a trace as go tool trace reads it.
var tracing = Recorder{
	Start: func() string {
		if runtime.StartTrace() != nil {
			return "the program itself traces its execution"
		}
		return ""
	},
	More: func(w *ask.Answer) {
		w.Write(runtime.ReadTrace()) // at least once a second something is ready
	},
	Stop: func(w *ask.Answer) {
		go runtime.StopTrace() // which returns when all was read
		for b := runtime.ReadTrace(); b != nil; b = runtime.ReadTrace() {
			w.Write(b)
		}
	},
}
