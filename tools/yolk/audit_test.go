package main

import "testing"

func TestJudge(t *testing.T) {
	good := `map 0x400000 0x600000 r-x program image
map 0x600000 0x700000 r-- program image
map 0x700000 0x710000 rw- program image
map 0xffff800000000000 0xffff800000300000 r-- machine RAM
map 0xffff800000300000 0xffff800010000000 rw- machine RAM
`
	for what, tt := range map[string]struct {
		text string
		bad  int // findings that do not hold
	}{
		"good":             {good, 0},
		"both":             {good + "map 0xffff900000000000 0xffff900000001000 rwx machine stack\n", 1},
		"more code":        {good + "map 0xffff900000000000 0xffff900000001000 r-x machine stack\n", 1},
		"page 0":           {"map 0x0 0x1000 rw- program memory\n" + good, 1},
		"without an alias": {"map 0x400000 0x600000 r-x program image\nmap 0xffff800000000000 0xffff800010000000 rw- machine RAM\n", 1},
	} {
		list, err := readMappings(tt.text)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		bad := 0
		for _, f := range judge(list) {
			if !f.Holds {
				bad++
			}
		}
		if bad != tt.bad {
			t.Errorf("%s: %d findings fail; want %d: %+v", what, bad, tt.bad, judge(list))
		}
	}
	for _, text := range []string{"", "hello\n", "map 0x1 0x2\n", "map 0x1 0x2 rw\n"} {
		if list, err := readMappings(text); err == nil {
			t.Errorf("%q is %+v; want an error", text, list)
		}
	}
}
