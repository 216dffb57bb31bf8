package wiring

import (
	"github.com/yolk-unikernel/yolk/boot"
	"github.com/yolk-unikernel/yolk/kernel"
)

// commandLineWords returns the decoded words of the command line and of the
// configuration document.
func commandLineWords() []string {
	var words []string
	line := []byte(booted.Words)
	buf := make([]byte, len(line))
	for {
		word, rest, more := boot.NextWord(line, buf)
		if !more {
			return words
		}
		words = append(words, string(word))
		line = rest
	}
}

// AllWords returns the decoded words of the command line and of the configuration
// document.
func AllWords() []string { return commandLineWords() }

// Words returns the values of the words that begin with prefix, such as "ip=".
func Words(prefix string) []string {
	var values []string
	for _, w := range commandLineWords() {
		if len(w) >= len(prefix) && w[:len(prefix)] == prefix {
			values = append(values, w[len(prefix):])
		}
	}
	return values
}

func options(words []string) kernel.Options {
	o := kernel.Options{
		Args:      runtimeArgs(),
		Env:       runtimeEnviron(),
		Interrupt: raise,
	}
	if len(o.Args) > 0 {
		o.Path = o.Args[0]
		if o.Path != "" && o.Path[0] != '/' {
			o.Path = "/" + o.Path
		}
	}
	for _, w := range words {
		if v, ok := boot.CutPrefix([]byte(w), "hostname="); ok {
			o.Hostname = string(v)
		}
		o.Terminal = o.Terminal || w == "yolk.tty=1"
		if v, ok := boot.CutPrefix([]byte(w), "yolk.size="); ok {
			o.Rows, o.Columns = windowSize(v)
		}
	}
	return o
}

// windowSize reads ROWS,COLUMNS; both are 0 if that is not what v is.
func windowSize(v []byte) (rows, columns uint16) {
	r, rest, ok1 := boot.CutNumber(v, 1<<16-1)
	rest, ok2 := boot.CutPrefix(rest, ",")
	c, rest, ok3 := boot.CutNumber(rest, 1<<16-1)
	if !ok1 || !ok2 || !ok3 || len(rest) > 0 {
		return 0, 0
	}
	return uint16(r), uint16(c)
}
