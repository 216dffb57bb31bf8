package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
)

// row is the result of one version.
type row struct {
	Go      string             `json:"go"`
	Port    string             `json:"port"`   // key of the port's content
	Edited  int                `json:"edited"` // edited lines of upstream files
	Seconds map[string]float64 `json:"seconds"`
	Error   string             `json:"error,omitempty"` // the step that failed, and the reason
}

func printRows(rows []row, asJSON bool) error {
	if asJSON {
		e := json.NewEncoder(os.Stdout)
		e.SetIndent("", "\t")
		return e.Encode(rows)
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(w, "go\tport\tedited\t")
	for _, s := range steps {
		fmt.Fprint(w, s.name, "\t")
	}
	fmt.Fprintln(w)
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\n", strings.TrimPrefix(r.Go, "go"), r.Port, r.Edited, r.cells())
	}
	return w.Flush()
}

// cells has "ok" and the seconds of each step that passed.
func (r row) cells() string {
	var b strings.Builder
	for _, s := range steps {
		cell := "-"
		if sec, done := r.Seconds[s.name]; done {
			cell = fmt.Sprintf("ok %.0f s", sec)
			if strings.HasPrefix(r.Error, s.name+": ") {
				cell = "FAIL"
			}
		}
		b.WriteString(cell + "\t")
	}
	return b.String()
}
