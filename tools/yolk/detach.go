package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/yolk-unikernel/yolk/tools/internal/vmdir"
)

// superviseName is the command, of which help says nothing, that holds a VM in the background.
const superviseName = "supervise"

// supervision is what that command is told, through a pipe: arguments and variables may be secret, and
// its command line is not.
type supervision struct {
	vmdir.Start
	Image   string
	Program string
	Again   string // the name of a VM that has ended and is started again; "" for a new one
}

// startReport is its answer: the VM runs, or this is its exit status, and standard error has said why.
type startReport struct {
	Name   string
	Status int
}

// Descriptors of the supervising process, beside its standard error.
const (
	superviseIn  = 3
	superviseOut = 4
)

// bootDetached starts an image in the background and returns when it runs.
func (v *vmFlags) bootDetached(ctx context.Context, image, program string, args []string) int {
	s := supervision{Start: vmdir.Start{Flags: v.given, Arguments: args, Variables: []string{}}, Program: program}
	for name, value := range v.borrowed {
		s.Variables = append(s.Variables, name+"="+value)
	}
	var err error
	if s.Image, err = filepath.Abs(image); err == nil {
		s.Folder, err = os.Getwd()
	}
	if err != nil {
		return fail("", err)
	}
	name, status, err := s.launch(ctx)
	switch {
	case err != nil:
		return fail("", err)
	case name == "":
		return status
	}
	fmt.Println(name)
	return 0
}

// launch starts the supervising process, which is in a session of its own and has none of this one's
// descriptors, and waits until it has started the VM. The name is "" if it has not: then the process
// has said why, and has ended with the status.
func (s *supervision) launch(ctx context.Context) (name string, status int, err error) {
	in, tell, err := os.Pipe()
	if err != nil {
		return "", 0, err
	}
	defer tell.Close()
	answer, out, err := os.Pipe()
	if err != nil {
		return "", 0, err
	}
	defer answer.Close()
	words, errs, err := os.Pipe()
	if err != nil {
		return "", 0, err
	}
	defer words.Close()
	cmd := exec.Command("/proc/self/exe", superviseName, filepath.Base(s.Program))
	cmd.Args[0] = "yolk"
	cmd.Dir = s.Folder
	cmd.Stderr = errs
	cmd.ExtraFiles = []*os.File{in, out}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	for _, f := range []*os.File{in, out, errs} {
		f.Close()
	}
	if err != nil {
		return "", 0, fmt.Errorf("starting the process that holds the VM: %w", err)
	}
	stopped := context.AfterFunc(ctx, func() { cmd.Process.Signal(syscall.SIGTERM) })
	defer stopped()
	said := make(chan struct{})
	go func() { io.Copy(os.Stderr, words); close(said) }() // until the process gives up its standard error
	var r startReport
	if err = json.NewEncoder(tell).Encode(s); err == nil {
		tell.Close()
		err = json.NewDecoder(answer).Decode(&r)
	}
	<-said
	if r.Name != "" {
		return r.Name, 0, nil
	}
	cmd.Wait()
	if err != nil && !errors.Is(err, io.EOF) {
		return "", 0, fmt.Errorf("the process that holds the VM: %w", err)
	}
	if status = cmd.ProcessState.ExitCode(); status <= 0 {
		return "", 0, fmt.Errorf("the process that holds the VM ended (%v)", cmd.ProcessState)
	}
	return "", status, nil
}
