package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// row is one line of the report.
type row struct {
	Name   string             `json:"name"`
	Unit   string             `json:"unit"`
	Better string             `json:"better"` // whether "less" or "more" is better
	Values map[string]*sample `json:"systems"`
	// Ratio is the median of yolk over that of linux, and Change the median of yolk over that
	// of the other checkout of yolk; 0 if one of them is missing.
	Ratio  float64 `json:"ratio,omitempty"`
	Change float64 `json:"change,omitempty"`
}

// sample has the results of one system in one row.
type sample struct {
	Median float64   `json:"median"`
	Min    float64   `json:"min"`
	Max    float64   `json:"max"`
	Runs   []float64 `json:"runs"`
	Errors []string  `json:"errors,omitempty"`
}

func (s *sample) summarize() {
	if len(s.Runs) == 0 {
		return
	}
	s.Median, s.Min, s.Max = median(s.Runs), slices.Min(s.Runs), slices.Max(s.Runs)
}

// median returns the middle value of v, or 0 if v is empty.
func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Sorted(slices.Values(v))
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

type report struct {
	systems []string
	Date    string `json:"date"`
	Host    string `json:"host"`
	VMM     string `json:"vmm"`
	Rows    []*row `json:"rows"`
}

func newReport(systems []*system) *report {
	r := &report{
		Date: time.Now().UTC().Format(time.RFC3339),
		Host: fmt.Sprintf("%d CPUs, %s", runtime.NumCPU(), runtime.Version()),
	}
	for _, s := range systems {
		r.systems = append(r.systems, s.Name)
	}
	if v, err := exec.Command("qemu-system-x86_64", "--version").Output(); err == nil {
		r.VMM, _, _ = strings.Cut(string(v), "\n")
	}
	return r
}

// sample returns the cell of a row, which it makes if necessary.
func (r *report) sample(name, unit, better, system string) *sample {
	i := slices.IndexFunc(r.Rows, func(x *row) bool { return x.Name == name && x.Unit == unit })
	if i < 0 {
		i = len(r.Rows)
		r.Rows = append(r.Rows, &row{Name: name, Unit: unit, Better: better, Values: make(map[string]*sample)})
	}
	if r.Rows[i].Values[system] == nil {
		r.Rows[i].Values[system] = &sample{}
	}
	return r.Rows[i].Values[system]
}

// metric identifies a row.
type metric struct{ name, unit, better string }

func (r *report) add(m metric, system string, v float64) {
	s := r.sample(m.name, m.unit, m.better, system)
	s.Runs = append(s.Runs, v)
}

// fail records why a run has no result. A row with failures shows their number.
func (r *report) fail(m metric, system string, err error) {
	s := r.sample(m.name, m.unit, m.better, system)
	s.Errors = append(s.Errors, err.Error())
	fmt.Fprintf(os.Stderr, "bench: %s, %s: %v\n", system, m.name, err)
}

func (r *report) summarize() {
	for _, row := range r.Rows {
		for _, s := range row.Values {
			s.summarize()
		}
		row.Ratio = over(row.Values["yolk"], row.Values["linux"])
		row.Change = over(row.Values["yolk"], row.Values["before"])
	}
}

// over returns the ratio of two medians, 0 if one of them is missing.
func over(a, b *sample) float64 {
	if a == nil || b == nil || len(a.Runs) == 0 || b.Median == 0 {
		return 0
	}
	return a.Median / b.Median
}

func (r *report) writeJSON(file string) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(b, '\n'), 0o644)
}

// print writes the table: the median of each system with its spread, and yolk's ratio to linux and to
// the other checkout.
func (r *report) print(w io.Writer) {
	r.summarize()
	fmt.Fprintf(w, "%s; %s; TCG, 1 vCPU\n\n", r.VMM, r.Host)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "\tunit\t%s\tyolk/linux\tyolk/before\tbetter\n", strings.Join(r.systems, "\t"))
	for _, row := range r.Rows {
		fmt.Fprintf(t, "%s\t%s", row.Name, row.Unit)
		for _, s := range r.systems {
			fmt.Fprintf(t, "\t%s", row.Values[s])
		}
		change := "-"
		if row.Change > 0 {
			change = fmt.Sprintf("%.4f", row.Change)
		}
		fmt.Fprintf(t, "\t%s\t%s\t%s\n", ratio(row.Ratio), change, row.Better)
	}
	t.Flush()
}

func ratio(v float64) string {
	switch {
	case v >= 0.1:
		return fmt.Sprintf("%.2f", v)
	case v > 0:
		return fmt.Sprintf("%.4f", v)
	}
	return "-"
}

// String returns "median (min–max)", and the number of failed runs.
func (s *sample) String() string {
	if s == nil {
		return "-"
	}
	text := "failed"
	if len(s.Runs) > 0 {
		text = figure(s.Median)
		if s.Min != s.Max {
			text += " (" + figure(s.Min) + "–" + figure(s.Max) + ")"
		}
	}
	if n := len(s.Errors); n > 0 && len(s.Runs) > 0 {
		text += fmt.Sprintf(", %d failed", n)
	}
	return text
}

// figure prints three significant digits, or a whole number.
func figure(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}
