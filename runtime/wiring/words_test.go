package wiring_test

import (
	"slices"
	"testing"

	"github.com/yolk-unikernel/yolk/runtime/wiring"
	"github.com/yolk-unikernel/yolk/runtime/wiring/wiringtest"
)

func TestWords(t *testing.T) {
	m := wiringtest.New(t)
	m.Start("ip=dhcp", `"mount=my data:/x"`, "ip=", "xip=1", "ip")
	if got, want := wiring.AllWords(), []string{"ip=dhcp", "mount=my data:/x", "ip=", "xip=1", "ip"}; !slices.Equal(got, want) {
		t.Errorf("AllWords() = %q; want %q", got, want)
	}
	for prefix, want := range map[string][]string{"ip=": {"dhcp", ""}, "mount=": {"my data:/x"}, "root=": nil} {
		if got := wiring.Words(prefix); !slices.Equal(got, want) {
			t.Errorf("Words(%q) = %q; want %q", prefix, got, want)
		}
	}
	if got, want := wiring.CommandLine(), `ip=dhcp "mount=my data:/x" ip= xip=1 ip`; got != want {
		t.Errorf("CommandLine() = %q; want it as it is: %q", got, want)
	}
}

// The window's size is for a terminal. What is no size, or 0, is not taken.
func TestWindowSize(t *testing.T) {
	const tiocgwinsz = 0x5413
	for word, want := range map[string][4]byte{
		"31,101": {31, 0, 101, 0}, "65535,0x10": {255, 255, 16, 0},
		"": {24, 0, 80, 0}, "0,0": {24, 0, 80, 0}, "31": {24, 0, 80, 0}, "31,": {24, 0, 80, 0}, "65536,1": {24, 0, 80, 0}, "31,101,1": {24, 0, 80, 0},
	} {
		m := wiringtest.New(t)
		m.Start("yolk.tty=1", "yolk.size="+word)
		var size [8]byte
		m.Must(sysIoctl, 0, tiocgwinsz, size[:])
		if got := [4]byte(size[:4]); got != want {
			t.Errorf("yolk.size=%s: rows, columns %v; want %v", word, got, want)
		}
	}
}

// What a program sees of the words and of its own arguments.
func TestOptions(t *testing.T) {
	for _, tt := range []struct {
		words          []string
		args           []string
		host, exe      string
		cmdline        string
		crlf, terminal bool
	}{
		{nil, []string{"app", "-v"}, "yolk", "/app", "app\x00-v\x00", false, false},
		{[]string{"hostname=web1"}, []string{"/bin/app"}, "web1", "/bin/app", "/bin/app\x00", false, false},
		{[]string{"hostname=a", "hostname=b"}, []string{""}, "b", "/init", "\x00", false, false},
		{[]string{"yolk.tty=1"}, nil, "yolk", "/init", "", true, true},
		{[]string{"yolk.tty=0", "hostname"}, nil, "yolk", "/init", "", false, false},
	} {
		m := wiringtest.New(t)
		m.Args = tt.args
		m.Start(tt.words...)
		if got := m.Hostname(); got != tt.host {
			t.Errorf("%q: host name %q; want %q", tt.words, got, tt.host)
		}
		b := make([]byte, 64)
		n := m.Must(sysReadlink, "/proc/self/exe", b, len(b))
		if got := string(b[:n]); got != tt.exe {
			t.Errorf("%q: /proc/self/exe is %q; want %q", tt.args, got, tt.exe)
		}
		m.WantFile("/proc/self/cmdline", tt.cmdline)
		m.Must(sysWrite, 1, []byte("a\n"), 2)
		if got, want := m.Output(), map[bool]string{false: "a\n", true: "a\r\n"}[tt.terminal]; got != want {
			t.Errorf("%q: a line is written as %q; want %q", tt.words, got, want)
		}
	}
}
