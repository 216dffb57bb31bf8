package boot

// The command line is a list of words separated by spaces. A part of a word may be in double
// quotes, where spaces belong to the word and a backslash escapes: \" \\ \n \t and \xHH. The
// words are documented in docs/boot.md.

// NextWord decodes the first word of line into dst, which must be as long as line, and returns
// the word and the rest of the line; more is false at the end. An unclosed quote ends with the
// line.
func NextWord(line, dst []byte) (word, rest []byte, more bool) {
	i := 0
	for i < len(line) && isSpace(line[i]) {
		i++
	}
	if i == len(line) {
		return nil, nil, false
	}
	n, quoted := 0, false
	for i < len(line) && (quoted || !isSpace(line[i])) {
		c := line[i]
		i++
		switch {
		case c == '"':
			quoted = !quoted
			continue
		case c == '\\' && quoted && i < len(line):
			c, i = escape(line, i)
		}
		dst[n] = c
		n++
	}
	return dst[:n], line[i:], true
}

// escape decodes the escape whose first byte after the backslash is line[i].
func escape(line []byte, i int) (c byte, next int) {
	switch c = line[i]; c {
	case 'n':
		return '\n', i + 1
	case 't':
		return '\t', i + 1
	case 'x':
		if i+2 < len(line) {
			hi, ok1 := hexDigit(line[i+1])
			lo, ok2 := hexDigit(line[i+2])
			if ok1 && ok2 {
				return hi<<4 | lo, i + 3
			}
		}
	}
	return c, i + 1
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// CutPrefix returns the part of word after prefix.
func CutPrefix(word []byte, prefix string) (rest []byte, ok bool) {
	if len(word) < len(prefix) || string(word[:len(prefix)]) != prefix {
		return nil, false
	}
	return word[len(prefix):], true
}

// CutNumber decodes the number at the start of b, decimal or hexadecimal after 0x, and returns the bytes after it;
// false if there is none or it is larger than limit. Package strconv would be more than that in every image.
func CutNumber(b []byte, limit uint64) (n uint64, rest []byte, ok bool) {
	base := uint64(10)
	if hex, is := CutPrefix(b, "0x"); is {
		base, b = 16, hex
	}
	i := 0
	for ; i < len(b); i++ {
		d, is := hexDigit(b[i])
		if !is || uint64(d) >= base {
			break
		}
		if uint64(d) > limit || n > (limit-uint64(d))/base {
			return 0, nil, false
		}
		n = n*base + uint64(d)
	}
	return n, b[i:], i > 0
}
