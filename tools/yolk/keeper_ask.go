package main

import (
	"bufio"
	"fmt"
	"io"
	"time"

	"github.com/yolk-unikernel/yolk/tools/internal/control"
	"github.com/yolk-unikernel/yolk/tools/internal/inside"
)

// askWait is how long a question waits for others to be answered.
const askWait = 10 * time.Second

// maxQuestion is the longest question, in bytes.
const maxQuestion = 128

// ask begins to pass on questions to the guest. One client at a time does.
func (k *keeper) ask() (control.Reply, func(io.ReadWriter)) {
	vm := k.vm.Load()
	if vm == nil {
		return control.Reply{Error: "the VM does not run at the moment; yolk ps shows its state"}, nil
	}
	port := vm.Questions()
	if port == nil {
		return control.Reply{Error: "the VM has no port for questions: it has a serial port alone"}, nil
	}
	select {
	case k.asking <- struct{}{}:
	case <-time.After(askWait):
		return control.Reply{Error: "another yolk ask is at work; try again when it has ended"}, nil
	}
	return control.Reply{Build: k.build}, func(client io.ReadWriter) {
		defer func() { <-k.asking }()
		passQuestions(port, client)
	}
}

// passQuestions passes on questions, and the frames of their answers, until the client goes. What it has begun is ended then.
func passQuestions(port *inside.Port, client io.ReadWriter) {
	in := bufio.NewReaderSize(client, maxQuestion)
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			break
		}
		if err := port.Ask(string(line[:len(line)-1]), client); err != nil {
			inside.Refuse(client, err)
			break
		}
	}
	port.Ask(fmt.Sprintf("%s stop", inside.Version), io.Discard)
}
