package ui

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestStepSpeaksOnlyWhenSlow(t *testing.T) {
	for _, tt := range []struct {
		took time.Duration
		want string
	}{
		{time.Second, ""},
		{10 * time.Second, "yolk: compiling ./app ...\n"},
	} {
		synctest.Test(t, func(t *testing.T) {
			var out bytes.Buffer
			s := Begin(&out, "compiling ./app")
			time.Sleep(tt.took)
			s.End()
			s.End()
			if got := out.String(); got != tt.want {
				t.Errorf("a step of %v printed %q; want %q", tt.took, got, tt.want)
			}
		})
	}
}

// Something longer says now and then how far it is, if it has come further.
func TestStepNotes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		s := Begin(&out, "compiling ./app")
		time.Sleep(5 * time.Second)
		s.Note("3 packages")
		time.Sleep(20 * time.Second)
		s.Note("30 of 90 packages")
		time.Sleep(75 * time.Second)
		s.End()
		if got, want := out.String(), "yolk: compiling ./app ...\nyolk: compiling ./app: 30 of 90 packages ...\n"; got != want {
			t.Errorf("printed %q; want %q", got, want)
		}
	})
}

func TestNotATerminal(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	if IsTerminal(w) {
		t.Error("IsTerminal(pipe) = true")
	}
	if got := Bold(w, "x"); strings.ContainsRune(got, '\x1b') {
		t.Errorf("Bold on a pipe = %q; want no escape", got)
	}
}
