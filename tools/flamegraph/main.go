// Command flamegraph draws a CPU profile as a flame graph: an SVG without scripts. Width is time;
// each frame lies on its caller; the colour is the part of the image: program, Go's library, Go's
// runtime, kernel, network stack.
//
//	flamegraph -o graph.svg profile.pb.gz
package main

import (
	"flag"
	"fmt"
	"html"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/google/pprof/profile"
)

func main() {
	out := flag.String("o", "", "write the SVG to this `file` instead of standard output")
	title := flag.String("title", "CPU time", "heading")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: flamegraph [-o FILE] [-title TEXT] PROFILE")
		os.Exit(2)
	}
	if err := run(flag.Arg(0), *out, *title); err != nil {
		fmt.Fprintln(os.Stderr, "flamegraph:", err)
		os.Exit(1)
	}
}

func run(in, out, title string) error {
	f, err := os.Open(in)
	if err != nil {
		return err
	}
	defer f.Close()
	p, err := profile.Parse(f)
	if err != nil {
		return err
	}
	w := os.Stdout
	if out != "" {
		if w, err = os.Create(out); err != nil {
			return err
		}
	}
	draw(w, merge(p), title)
	if out != "" {
		return w.Close()
	}
	return nil
}

// A frame is a function in the context of its callers.
type frame struct {
	name     string
	value    int64 // samples in it and in the functions it calls
	children []*frame
}

func (f *frame) child(name string) *frame {
	for _, c := range f.children {
		if c.name == name {
			return c
		}
	}
	c := &frame{name: name}
	f.children = append(f.children, c)
	return c
}

// merge joins the samples' stacks in one tree.
func merge(p *profile.Profile) *frame {
	root := &frame{name: "all"}
	for _, s := range p.Sample {
		n := s.Value[0]
		at := root
		at.value += n
		for _, l := range slices.Backward(s.Location) {
			for _, line := range slices.Backward(l.Line) {
				if line.Function != nil {
					at = at.child(line.Function.Name)
					at.value += n
				}
			}
		}
	}
	sortFrames(root)
	return root
}

func sortFrames(f *frame) {
	slices.SortFunc(f.children, func(a, b *frame) int { return strings.Compare(a.name, b.name) })
	for _, c := range f.children {
		sortFrames(c)
	}
}

func (f *frame) depth() int {
	d := 0
	for _, c := range f.children {
		d = max(d, c.depth())
	}
	return d + 1
}

// Sizes of the drawing, in pixels.
const (
	width  = 1200
	row    = 17
	header = 40
	footer = 30
)

// parts give a frame its colour; the first match counts.
var parts = []struct{ prefix, name, colour string }{
	{"main.", "program", "#e4572e"},
	{"runtime/yolk/kernel", "kernel", "#2e86ab"},
	{"runtime/yolk/netstack", "network stack", "#5aa9a0"},
	{"gvisor/", "network stack", "#5aa9a0"},
	{"runtime/yolk", "drivers", "#7768ae"},
	{"internal/runtime/yolk", "Go runtime", "#a0a4ab"},
	{"runtime.", "Go runtime", "#a0a4ab"},
	{"", "Go library", "#f2b134"},
}

func colour(name string) string {
	for _, p := range parts {
		if strings.HasPrefix(name, p.prefix) {
			return p.colour
		}
	}
	return ""
}

func draw(w io.Writer, root *frame, title string) {
	height := header + root.depth()*row + footer
	fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="11">`+"\n", width, height)
	fmt.Fprintf(w, `<rect width="100%%" height="100%%" fill="white"/><text x="10" y="24" font-size="16">%s: %d samples</text>`+"\n", html.EscapeString(title), root.value)
	drawFrame(w, root, root.value, 0, height-footer-row)
	x := 10
	seen := map[string]bool{}
	for _, p := range parts {
		if !seen[p.name] {
			seen[p.name] = true
			fmt.Fprintf(w, `<rect x="%d" y="%d" width="12" height="12" fill="%s"/><text x="%d" y="%d">%s</text>`+"\n", x, height-20, p.colour, x+16, height-10, p.name)
			x += 140
		}
	}
	fmt.Fprintln(w, "</svg>")
}

// drawFrame draws f, of total samples, from x (in samples) on, and above it the functions that it
// calls.
func drawFrame(w io.Writer, f *frame, total, x int64, y int) {
	scale := float64(width) / float64(total)
	if wide := float64(f.value) * scale; wide >= 0.5 {
		fmt.Fprintf(w, `<g><title>%s: %d samples, %.1f%%</title><rect x="%.1f" y="%d" width="%.1f" height="%d" fill="%s" stroke="white" stroke-width="0.5"/>`,
			html.EscapeString(f.name), f.value, 100*float64(f.value)/float64(total), float64(x)*scale, y, wide, row, colour(f.name))
		if letters := int(wide / 6.5); letters >= 4 {
			name := f.name[strings.LastIndexByte(f.name, '/')+1:]
			fmt.Fprintf(w, `<text x="%.1f" y="%d">%s</text>`, float64(x)*scale+3, y+12, html.EscapeString(name[:min(len(name), letters)]))
		}
		fmt.Fprintln(w, "</g>")
	}
	for _, c := range f.children {
		drawFrame(w, c, total, x, y-row)
		x += c.value
	}
}
