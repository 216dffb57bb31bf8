package main

import (
	"bytes"
	"encoding/xml"
	"io"
	"strings"
	"testing"

	"github.com/google/pprof/profile"
)

func location(names ...string) *profile.Location {
	l := &profile.Location{}
	for _, n := range names {
		l.Line = append(l.Line, profile.Line{Function: &profile.Function{Name: n}})
	}
	return l
}

func TestDraw(t *testing.T) {
	serve, handle, read := location("net/http.(*conn).serve"), location("main.inlined", "main.handle<T>"), location("runtime/yolk/kernel.sysRead")
	p := &profile.Profile{Sample: []*profile.Sample{
		{Value: []int64{60}, Location: []*profile.Location{handle, serve}},
		{Value: []int64{40}, Location: []*profile.Location{read, serve}},
	}}
	root := merge(p)
	if root.value != 100 || root.depth() != 4 {
		t.Fatalf("%d samples, depth %d; want 100 and 4", root.value, root.depth())
	}
	var out bytes.Buffer
	draw(&out, root, "test & more")
	for _, want := range []string{"main.handle&lt;T&gt;: 60 samples, 60.0%", "kernel.sysRead: 40 samples, 40.0%", `width="720.0"`, "test &amp; more: 100 samples"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the drawing lacks %q", want)
		}
	}
	for d := xml.NewDecoder(&out); ; {
		if _, err := d.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
}
