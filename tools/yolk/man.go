package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	root "github.com/yolk-unikernel/yolk"
)

const manHelp = `Usage: yolk man DIR

Writes the manual pages yolk.1 and yolk-COMMAND.1 of section 1 to a folder. They
have what -h prints.

Examples:
    yolk man ~/.local/share/man/man1; man yolk-run
`

func manCommand(_ context.Context, args []string) int {
	if len(args) != 1 || strings.HasPrefix(args[0], "-") {
		return usage("man", "name a folder, as in yolk man ~/.local/share/man/man1")
	}
	if err := os.MkdirAll(args[0], 0o755); err != nil {
		return fail("man", err)
	}
	pages := map[string]string{"yolk": page("yolk", "build Go programs into virtual machines and run them", overview())}
	for _, c := range commands {
		pages["yolk-"+c.name] = page("yolk-"+c.name, c.short, c.help)
	}
	for name, text := range pages {
		if err := os.WriteFile(filepath.Join(args[0], name+".1"), []byte(text), 0o644); err != nil {
			return fail("man", err)
		}
	}
	return 0
}

// page is a page in the language of man(7).
func page(name, short, text string) string {
	return fmt.Sprintf(".TH %s 1 \"\" \"yolk %s\"\n.SH NAME\n%s \\- %s\n.SH DESCRIPTION\n.nf\n%s.fi\n.SH SEE ALSO\n.BR yolk (1)\n",
		strings.ToUpper(name), roff(root.Version), roff(name), roff(short), roff(text))
}

// roff escapes what means something in a text to roff: backslashes, dashes, which would become hyphens, and dots and
// apostrophes that begin a line.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text)
	text = strings.NewReplacer("\n.", "\n\\&.", "\n'", "\n\\&'").Replace("\n" + text)
	return text[1:]
}
