// Package bootline writes the kernel command line with a yolk guest's arguments, environment and
// network (docs/running.md lists the words). Words are separated by spaces. A value may be in
// double quotes, as in arg="a b"; inside them a backslash escapes: \" \\ \n \t \xHH. Package boot
// reads the same syntax. Start with [Line].
package bootline

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Line is a command line under construction. The zero value is empty.
type Line struct {
	b strings.Builder
}

// Add appends the word key=value, quoted where needed. The key must satisfy [ValidKey].
func (l *Line) Add(key, value string) {
	if l.b.Len() > 0 {
		l.b.WriteByte(' ')
	}
	l.b.WriteString(key)
	l.b.WriteByte('=')
	l.b.WriteString(Quote(value))
}

// String returns the line.
func (l *Line) String() string { return l.b.String() }

// ValidKey reports whether s can be on the left of the equals sign: printable ASCII, without space,
// quote, backslash or equals sign.
func ValidKey(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == '"' || c == '\\' || c == '=' {
			return false
		}
	}
	return s != ""
}

// Quote returns s unchanged if it can be part of a word, and in double quotes otherwise.
func Quote(s string) string {
	if bare(s) {
		return s
	}
	var b strings.Builder
	b.WriteByte('"')
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		quoteRune(&b, s[i:i+n], r)
		i += n
	}
	b.WriteByte('"')
	return b.String()
}

// quoteRune writes one character. Bytes that are not UTF-8 and control characters become \xHH, so
// that the line is printable everywhere.
func quoteRune(b *strings.Builder, raw string, r rune) {
	switch {
	case r == '"' || r == '\\':
		b.WriteByte('\\')
		b.WriteString(raw)
	case r == '\n':
		b.WriteString(`\n`)
	case r == '\t':
		b.WriteString(`\t`)
	case r < ' ' || r == 0x7f || r == utf8.RuneError && len(raw) == 1:
		fmt.Fprintf(b, `\x%02x`, raw[0])
	default:
		b.WriteString(raw)
	}
}

func bare(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for i := 0; i < len(s); i++ {
		if c := s[i]; c <= ' ' || c == 0x7f || c == '"' || c == '\\' {
			return false
		}
	}
	return s != ""
}
