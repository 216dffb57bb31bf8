package target

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/yolk-unikernel/yolk/tools/internal/ui"
)

// countAfter is how long a build takes before its packages are counted, which costs a second of work.
const countAfter = 10 * time.Second

// progress reads what go build -v prints: downloads and the packages that are compiled, which the step
// tells, and everything else, which is kept.
type progress struct {
	step *ui.Step

	mu       sync.Mutex
	line     []byte // of which the end has not come yet
	kept     strings.Builder
	compiled int
	all      int // packages that have to be compiled; 0 as long as that is not known
}

// Write implements io.Writer.
func (p *progress) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.line = append(p.line, b...)
	for {
		end := bytes.IndexByte(p.line, '\n')
		if end < 0 {
			return len(b), nil
		}
		p.take(string(p.line[:end]))
		p.line = p.line[end+1:]
	}
}

// take looks at one line. A package's path is the only thing that the go command prints as one word; its
// messages have spaces or colons.
func (p *progress) take(line string) {
	switch {
	case line != "" && !strings.ContainsAny(line, " \t:"):
		p.compiled++
		p.tell()
	case strings.HasPrefix(line, "go: downloading "):
		p.step.Note("downloading modules")
	default:
		p.kept.WriteString(line + "\n")
	}
}

func (p *progress) tell() {
	if p.all == 0 || p.all < p.compiled {
		p.step.Note(fmt.Sprintf("%d packages", p.compiled))
		return
	}
	p.step.Note(fmt.Sprintf("%d of %d packages", p.compiled, p.all))
}

// output returns what was kept.
func (p *progress) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.kept.String() + string(p.line)
}

// count asks how many packages are still to be compiled, once the build has taken so long that it
// matters.
func (b *Builder) count(ctx context.Context, p *progress, dir string, args []string) {
	select {
	case <-ctx.Done():
		return
	case <-time.After(countAfter):
	}
	list := b.Go(ctx, append([]string{"list", "-e", "-deps", "-f", "{{if .Stale}}{{.ImportPath}}{{end}}"}, args...)...)
	list.Dir = dir
	out, err := list.Output()
	if err != nil {
		return // it is told with a number less
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all = p.compiled + len(strings.Fields(string(out)))
	p.tell()
}
