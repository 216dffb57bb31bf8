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

// windowSize reads ROWS,COLUMNS; 0 stands for what is no number up to 65535.
func windowSize(v []byte) (rows, columns uint16) {
	n, size := 0, [2]uint32{}
	for _, c := range v {
		switch {
		case c == ',' && n == 0:
			n = 1
		case c >= '0' && c <= '9' && size[n] <= 0xffff/10:
			size[n] = min(10*size[n]+uint32(c-'0'), 0xffff)
		default:
			return 0, 0
		}
	}
	return uint16(size[0]), uint16(size[1])
}
