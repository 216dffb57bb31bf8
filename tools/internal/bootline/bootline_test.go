package bootline

import "testing"

func TestQuote(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"plain", "plain"},
		{"", `""`},
		{"a b", `"a b"`},
		{`say "hi"`, `"say \"hi\""`},
		{`C:\x`, `"C:\\x"`},
		{"two\nlines\tand a tab", `"two\nlines\tand a tab"`},
		{"bell\a", `"bell\x07"`},
		{"del\x7f", `"del\x7f"`},
		{"ümlaut", "ümlaut"},
		{"ü mlaut", `"ü mlaut"`},
		{"bad\xff", `"bad\xff"`},
		{"\ufffd x", "\"\ufffd x\""},
		{"a=b,c;d'e", "a=b,c;d'e"},
	} {
		if got := Quote(tt.in); got != tt.want {
			t.Errorf("Quote(%q) = %s; want %s", tt.in, got, tt.want)
		}
	}
}

func TestLine(t *testing.T) {
	var l Line
	l.Add("arg0", "web")
	l.Add("arg", "-greeting")
	l.Add("arg", "hello world")
	l.Add("env.EMPTY", "")
	want := `arg0=web arg=-greeting arg="hello world" env.EMPTY=""`
	if got := l.String(); got != want {
		t.Errorf("line = %s; want %s", got, want)
	}
}

func TestValidKey(t *testing.T) {
	for key, want := range map[string]bool{
		"env.PATH": true, "env.a-b": true,
		"": false, "a b": false, "a=b": false, `a"`: false, "a\\": false, "ü": false, "a\n": false,
	} {
		if got := ValidKey(key); got != want {
			t.Errorf("ValidKey(%q) = %v; want %v", key, got, want)
		}
	}
}
