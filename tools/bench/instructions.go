package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

var (
	metricMain   = metric{"instructions to main.main", "M", "less"}
	metricListen = metric{"instructions to listening", "M", "less"}
)

// handlers are the marks for requests.
var handlers = []struct {
	mark, symbol, path string
	metric             metric
}{
	{"root", "rootHandler", "/", metric{"instructions per request, /", "k", "less"}},
	{"tenk", "tenKHandler", "/10k", metric{"instructions per request, /10k", "k", "less"}},
	{"json", "jsonHandler", "/json", metric{"instructions per request, /json", "k", "less"}},
}

const (
	appPath = "github.com/yolk-unikernel/yolk/tools/bench/guest/app."
	// serveSymbol is the function that http.Serve calls once the listeners are open.
	serveSymbol = "net/http.(*Server).Serve"
)

// isMark reports whether instructions are counted at a function.
func isMark(symbol string) bool {
	if symbol == "main.main" || symbol == serveSymbol {
		return true
	}
	for _, h := range handlers {
		if symbol == appPath+h.symbol {
			return true
		}
	}
	return false
}

// instructions counts guest instructions with a TCG plugin. Unlike times, these numbers hardly change
// from run to run or host to host.
func (b *bench) instructions(ctx context.Context) {
	if err := setQueue(ctx, bootQueue); err != nil {
		b.failAll(metricMain, err)
		return
	}
	for range b.runs {
		for _, s := range b.systems {
			if ctx.Err() != nil {
				return
			}
			if err := b.countOnce(ctx, s); err != nil {
				b.report.fail(metricMain, s.Name, err)
			}
		}
	}
}

func (b *bench) countOnce(ctx context.Context, s *system) error {
	file := filepath.Join(b.dir, "marks")
	plugin, err := b.pluginOption(s, file)
	if err != nil {
		return err
	}
	v, err := bootQuietly(ctx, s.args(defaultRAM, "-plugin", plugin), 2*bootTimeout)
	if err != nil {
		return err
	}
	n := 300
	if b.quick {
		n = 50
	}
	for _, h := range handlers {
		if err = sequential(request(h.path), n); err != nil {
			err = v.failure(fmt.Errorf("%s: %w", h.path, err))
			break
		}
	}
	// The last call of a handler is followed by its answer, which must be sent first.
	time.Sleep(50 * time.Millisecond)
	v.kill()
	if err != nil {
		return err
	}
	hits, err := readMarks(file)
	if err != nil {
		return err
	}
	return b.reportMarks(s, hits)
}

// pluginOption returns the argument of QEMU's -plugin.
func (b *bench) pluginOption(s *system, file string) (string, error) {
	marks := []struct{ name, symbol string }{{"main", "main.main"}, {"listen", serveSymbol}}
	for _, h := range handlers {
		marks = append(marks, struct{ name, symbol string }{h.mark, appPath + h.symbol})
	}
	option := b.plugin + ",out=" + file
	for _, m := range marks {
		addr, ok := s.Symbols[m.symbol]
		if !ok {
			return "", fmt.Errorf("the program has no function %s", m.symbol)
		}
		option += fmt.Sprintf(",mark=%#x:%s", addr, m.name)
	}
	return option, nil
}

func (b *bench) reportMarks(s *system, hits map[string][]float64) error {
	listen := hits["listen"]
	if len(listen) == 0 {
		return errors.New("the program did not reach " + serveSymbol)
	}
	main := lastBefore(hits["main"], listen[0])
	if main == 0 {
		return errors.New("the program did not reach main.main")
	}
	b.report.add(metricMain, s.Name, main/1e6)
	b.report.add(metricListen, s.Name, listen[0]/1e6)
	for _, h := range handlers {
		if d := differences(hits[h.mark], listen[0]); len(d) > 0 {
			b.report.add(h.metric, s.Name, median(d)/1e3)
		}
	}
	return nil
}

// lastBefore returns the last of the ascending counts below limit, or 0. A guest's boot code may run
// at the address of a function that is loaded later, so earlier counts prove nothing.
func lastBefore(counts []float64, limit float64) float64 {
	found := 0.0
	for _, c := range counts {
		if c < limit {
			found = c
		}
	}
	return found
}

// differences returns the differences of consecutive counts after from.
func differences(counts []float64, from float64) []float64 {
	var d []float64
	for i := 1; i < len(counts); i++ {
		if counts[i-1] > from {
			d = append(d, counts[i]-counts[i-1])
		}
	}
	return d
}

func readMarks(file string) (map[string][]float64, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return parseMarks(f)
}

// parseMarks parses the plugin's lines: name and count. The last one may be cut.
func parseMarks(r io.Reader) (map[string][]float64, error) {
	hits := make(map[string][]float64)
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		if err == io.EOF {
			return hits, nil
		}
		if err != nil {
			return nil, err
		}
		var name string
		var count float64
		if _, err := fmt.Sscan(strings.TrimSpace(line), &name, &count); err != nil {
			return nil, fmt.Errorf("the plugin wrote %q: %w", line, err)
		}
		hits[name] = append(hits[name], count)
	}
}
