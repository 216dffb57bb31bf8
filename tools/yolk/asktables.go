package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/yolk-unikernel/yolk/tools/internal/inside"
)

// table is an answer that has rows.
type table struct {
	head   string // titles, with tabs between them
	rows   [][]any
	values any // for JSON
}

func (t *table) print(w io.Writer) error {
	out := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(out, t.head)
	for _, row := range t.rows {
		var words []string
		for _, v := range row {
			words = append(words, printable(orDash(fmt.Sprint(v))))
		}
		fmt.Fprintln(out, strings.Join(words, "\t"))
	}
	return out.Flush()
}

// printable replaces what a terminal would obey or a table would break at: names are the guest's.
func printable(s string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f || c >= 0x80 && c < 0xa0 {
			return '?'
		}
		return c
	}, s)
}

func encodeJSON(w io.Writer, value any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(value)
}

func socketTable(s *inside.Session) (table, error) {
	list, err := s.Sockets()
	t := table{head: "NETID\tSTATE\tRECV-Q\tSEND-Q\tLOCAL\tPEER\tINODE", values: list}
	for _, k := range list {
		t.rows = append(t.rows, []any{k.Kind, k.State, k.RecvQueue, k.SendQueue, k.Local, k.Peer, k.Inode})
	}
	return t, err
}

func routeTable(s *inside.Session) (table, error) {
	list, err := s.Routes()
	t := table{head: "DESTINATION\tGATEWAY\tINTERFACE\tMETRIC", values: list}
	for _, r := range list {
		t.rows = append(t.rows, []any{r.Destination, r.Gateway, r.Interface, r.Metric})
	}
	return t, err
}

func mountTable(s *inside.Session) (table, error) {
	list, err := s.Mounts()
	t := table{head: "SOURCE\tPATH\tTYPE\tOPTIONS", values: list}
	for _, m := range list {
		t.rows = append(t.rows, []any{m.Source, m.Path, m.Type, m.Options})
	}
	return t, err
}

func fileTable(s *inside.Session) (table, error) {
	list, err := s.Files()
	t := table{head: "FD\tNAME\tPOSITION\tFLAGS\tINODE", values: list}
	for _, f := range list {
		t.rows = append(t.rows, []any{f.FD, f.Name, f.Position, f.Flags, f.Inode})
	}
	return t, err
}

func queueTable(s *inside.Session) (table, error) {
	list, err := s.Devices()
	t := table{head: "DEVICE\tLOCATION\tSTATE\tINTERRUPTS\tQUEUE\tUSE\tSIZE\tAVAILABLE\tUSED\tHELD\tMOVED\tSTATE", values: list}
	for _, d := range list {
		if len(d.Queues) == 0 {
			t.rows = append(t.rows, []any{d.Kind, d.Location, d.State, d.Interrupts})
		}
		for _, q := range d.Queues {
			t.rows = append(t.rows, []any{d.Kind, d.Location, d.State, d.Interrupts, q.Number, q.Use, q.Size, q.Available, q.Used, q.Held, q.Moved, q.State})
		}
	}
	return t, err
}
