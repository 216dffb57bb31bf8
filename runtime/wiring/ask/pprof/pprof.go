// Package pprof takes the host's CPU profile in programs that have package runtime/pprof: that one knows whether the
// program takes a profile, and says so to the program while the host does.
package pprof

import (
	"bytes"
	"runtime/pprof"

	"github.com/yolk-unikernel/yolk/runtime/wiring/ask"
	"github.com/yolk-unikernel/yolk/runtime/wiring/ask/more"
)

func init() {
	more.CPUProfile = &more.Recorder{Start: start, More: func(*ask.Answer) {}, Stop: stop}
}

// profile is what go tool pprof reads; it is written at the end.
var profile bytes.Buffer

func start() string {
	profile.Reset()
	if pprof.StartCPUProfile(&profile) != nil {
		return more.Busy
	}
	return ""
}

func stop(w *ask.Answer) {
	pprof.StopCPUProfile()
	w.Write(profile.Bytes())
	profile = bytes.Buffer{}
}
