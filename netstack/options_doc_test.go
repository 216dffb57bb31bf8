package netstack

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

const (
	networkDoc  = "../docs/network.md"
	optionNotes = "testdata/option_notes.txt"
	docBegin    = "<!-- The table is made by go test ./netstack -run TestOptionsDoc -update-options. -->\n"
	docEnd      = "<!-- The end of the table. -->\n"
)

// documentedLevels are the tables, in the order of the page.
var documentedLevels = []struct {
	name  string
	table *optionLevel
}{
	{"SOL_SOCKET", &socketLevel}, {"IPPROTO_IP", &ipOptions}, {"IPPROTO_IPV6", &ipv6Options}, {"IPPROTO_TCP", &tcpOptions},
	{"IPPROTO_UDP", &udpOptions}, {"IPPROTO_ICMPV6", &icmpv6Options}, {"SOL_RAW", &rawOptions},
}

// optionNote is a line of option_notes.txt: "level/number NAME: note".
type optionNote struct{ name, note string }

func readNotes(t *testing.T) map[optionKey]optionNote {
	text, err := os.ReadFile(optionNotes)
	if err != nil {
		t.Fatal(err)
	}
	notes := map[optionKey]optionNote{}
	for line := range strings.Lines(string(text)) {
		var key optionKey
		head, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if _, err := fmt.Sscanf(head, "%d/%d", &key.level, &key.name); err != nil {
			t.Fatalf("%s: %q: %v", optionNotes, line, err)
		}
		name, note, _ := strings.Cut(rest, ": ")
		notes[key] = optionNote{name, note}
	}
	return notes
}

// TestOptionsDoc: docs/network.md has a row for each option of the tables, which says how it is
// served.
func TestOptionsDoc(t *testing.T) {
	notes := readNotes(t)
	text, err := os.ReadFile(networkDoc)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(text), docBegin)
	_, tail, closed := strings.Cut(rest, docEnd)
	if !ok || !closed {
		t.Fatalf("%s lacks %q or %q", networkDoc, docBegin, docEnd)
	}
	want := head + docBegin + optionsMarkdown(t, notes) + docEnd + tail
	for key, n := range notes {
		t.Errorf("%s has %s (%d/%d), which is in no table", optionNotes, n.name, key.level, key.name)
	}
	if *updateOptions {
		if err := os.WriteFile(networkDoc, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		text = []byte(want)
	}
	if string(text) != want {
		t.Errorf("%s is not the table; run: go test ./netstack -run TestOptionsDoc -update-options", networkDoc)
	}
}

// optionsMarkdown writes a row for each way of serving, with all options that need no note, and one
// for each option with a note. It takes the notes that it has used.
func optionsMarkdown(t *testing.T, notes map[optionKey]optionNote) string {
	var b strings.Builder
	b.WriteString("| level | option | served | |\n|---|---|---|---|\n")
	for _, l := range documentedLevels {
		plain := map[string][]string{}
		var noted []string
		for number := range l.table.options {
			o := &l.table.options[number]
			if o.how == 0 {
				continue
			}
			key := optionKey{l.table.level, number}
			n, ok := notes[key]
			if !ok {
				t.Errorf("%s lacks %d/%d", optionNotes, key.level, key.name)
			}
			delete(notes, key)
			if n.note == "" {
				plain[o.served()] = append(plain[o.served()], n.name)
			} else {
				noted = append(noted, fmt.Sprintf("| %s | %s | %s | %s |\n", l.name, n.name, o.served(), n.note))
			}
		}
		for _, how := range slices.Sorted(keysOf(plain)) {
			fmt.Fprintf(&b, "| %s | %s | %s | |\n", l.name, strings.Join(plain[how], ", "), how)
		}
		b.WriteString(strings.Join(noted, ""))
	}
	return b.String()
}

func keysOf(m map[string][]string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// served says how an option is served.
func (o *option) served() string {
	switch o.how {
	case acts:
		return "acts"
	case stored:
		return "stored, as on Linux"
	}
	word := "refused"
	if o.errno != 0 {
		word += ": " + errnoWord(syscall.Errno(o.errno))
	}
	if o.neutral {
		word += "; " + strconv.Itoa(int(o.standard)) + " is accepted"
	}
	return word
}

func errnoWord(e syscall.Errno) string {
	if e == syscall.EPERM {
		return "EPERM"
	}
	return errnoName(e)
}
