package boot

import (
	"bytes"
	"fmt"
	"testing"
)

// newc returns an entry of an archive with the given sizes, of which data may have other bytes.
func newc(name string, nameSize, size int, data string) []byte {
	b := fmt.Appendf(nil, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00", 1, 0o100400, 0, 0, 1, 0, size, 0, 0, 0, 0, nameSize, 0, name)
	b = append(b, make([]byte, -len(b)&3)...)
	b = append(b, data...)
	return append(b, make([]byte, -len(b)&3)...)
}

func document(text string) []byte { return newc(ConfigName, len(ConfigName)+1, len(text), text) }

func TestCutConfig(t *testing.T) {
	other := newc("etc/x", 6, 2, "hi")
	for name, tt := range map[string]struct {
		module      []byte
		words, rest string
		why         string
	}{
		"nothing":      {nil, "", "", ""},
		"no document":  {other, "", string(other), ""},
		"no archive":   {[]byte("\x7fELF"), "", "\x7fELF", ""},
		"document":     {document(ConfigVersion + "arg=1\nenv.A=\"b c\""), "arg=1\nenv.A=\"b c\"", "", ""},
		"empty":        {document(ConfigVersion), "", "", ""},
		"more":         {append(document(ConfigVersion+"arg=1"), other...), "arg=1", string(other), ""},
		"later":        {append(bytes.Clone(other), document(ConfigVersion+"arg=1")...), "", string(append(bytes.Clone(other), document(ConfigVersion+"arg=1")...)), ""},
		"cut":          {document(ConfigVersion + "arg=1")[:128], "", "", "damaged"},
		"too long":     {newc(ConfigName, 12, 1<<31, ConfigVersion), "", "", "damaged"},
		"name's size":  {newc(ConfigName, 13, 7, ConfigVersion), "", "", "damaged"},
		"large":        {document(ConfigVersion + string(make([]byte, MaxConfig))), "", "", "larger than 2 MiB"},
		"version":      {document("yolk 2\narg=1"), "", "", "version 1"},
		"without text": {document(""), "", "", "version 1"},
	} {
		words, rest, why := CutConfig(tt.module)
		if string(words) != tt.words || string(rest) != tt.rest || !bytes.Contains([]byte(why), []byte(tt.why)) || (why == "") != (tt.why == "") {
			t.Errorf("%s: %q, %q, %q; want %q, %q, %q", name, words, rest, why, tt.words, tt.rest, tt.why)
		}
	}
}

func FuzzCutConfig(f *testing.F) {
	f.Add(document(ConfigVersion + "arg=1"))
	f.Add(document(ConfigVersion + "arg=1")[:127])
	f.Add(newc(ConfigName, 12, 1<<32-1, ConfigVersion))
	f.Fuzz(func(t *testing.T, module []byte) {
		words, rest, why := CutConfig(module)
		if why != "" && (words != nil || rest != nil) || len(words)+len(rest) > len(module) {
			t.Fatalf("%d and %d bytes of %d, %q", len(words), len(rest), len(module), why)
		}
	})
}
