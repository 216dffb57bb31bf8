package bootline

import (
	"slices"
	"testing"

	"github.com/yolk-unikernel/yolk/boot"
)

// decode parses a line with the guest's own decoder.
func decode(line string) []string {
	var words []string
	rest := []byte(line)
	for {
		word, next, more := boot.NextWord(rest, make([]byte, len(rest)))
		if !more {
			return words
		}
		words, rest = append(words, string(word)), next
	}
}

func FuzzGuestReadsTheSame(f *testing.F) {
	for _, s := range []string{"", "plain", "a b", `"`, `\`, `\x41`, "a\nb\tc\rd", "ü\xff\x00", `ends in \`, "=", "  "} {
		f.Add(s, "next")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		var l Line
		l.Add("arg", a)
		l.Add("env.X", b)
		want := []string{"arg=" + a, "env.X=" + b}
		if got := decode(l.String()); !slices.Equal(got, want) {
			t.Errorf("line %s reads as %q; want %q", l.String(), got, want)
		}
	})
}
