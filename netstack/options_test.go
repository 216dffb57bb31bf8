package netstack

import (
	"encoding/binary"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/yolk-unikernel/yolk/kernel"
	"github.com/yolk-unikernel/yolk/netstack/solsocket"
)

// This file asks every option of every kind of socket, on Linux and on this package's sockets: what
// it is at first, what setting it answers for some values and lengths, and what is read afterwards.

var updateOptions = flag.Bool("update-options", false, "record what this machine's Linux answers in testdata/options.txt")

// recordedOptions is what Linux 6.18 answered to root, on a kernel with most of its options.
const recordedOptions = "testdata/options.txt"

var optionSockets = []struct {
	name                  string
	family, typ, protocol int
}{
	{"tcp4", in4, stream, 0}, {"udp4", in4, dgram, 0}, {"icmp4", in4, syscall.SOCK_RAW, syscall.IPPROTO_ICMP},
	{"tcp6", in6, stream, 0}, {"udp6", in6, dgram, 0}, {"icmp6", in6, syscall.SOCK_RAW, syscall.IPPROTO_ICMPV6},
}

// optionLevels are levels with the highest name that is asked for.
var optionLevels = []struct{ level, last int }{
	{syscall.SOL_SOCKET, 90}, {syscall.IPPROTO_IP, 60}, {syscall.IPPROTO_IPV6, 85}, {syscall.IPPROTO_TCP, 50},
	{syscall.IPPROTO_UDP, 110}, {syscall.IPPROTO_ICMPV6, 3}, {syscall.SOL_RAW, 3}, {500, 2},
}

type socketFactory func(family, typ, protocol int) (kernel.Socket, syscall.Errno)

// optionLine describes one option of fresh sockets of one kind; "" if there is no sign of it.
func optionLine(open socketFactory, family, typ, protocol, level, name int) string {
	var words []string
	known := false
	try := func(f func(k kernel.Socket) (string, syscall.Errno)) {
		k, e := open(family, typ, protocol)
		if e != 0 {
			words = append(words, "socket:"+errnoName(e))
			return
		}
		defer k.Release()
		word, e := f(k)
		known = known || e != syscall.ENOPROTOOPT && e != syscall.EOPNOTSUPP
		words = append(words, word)
	}
	for _, size := range []int{300, 4, 2, 1, 0} {
		try(func(k kernel.Socket) (string, syscall.Errno) { return readOption(k, level, name, size) })
	}
	for _, v := range []int{0, 1, -1, 2, 200, 1500, 70000} {
		try(func(k kernel.Socket) (string, syscall.Errno) {
			b := binary.NativeEndian.AppendUint32(nil, uint32(v))
			e := k.SetOption(level, name, b)
			word := fmt.Sprintf("%d:%s", v, errnoName(e))
			if e == 0 {
				got, _ := readOption(k, level, name, 4)
				word += ">" + got
			}
			return word, e
		})
	}
	for _, size := range []int{0, 1, 3, 8} {
		try(func(k kernel.Socket) (string, syscall.Errno) {
			e := k.SetOption(level, name, []byte{1, 0, 0, 0, 0, 0, 0, 0}[:size])
			if e == syscall.EINVAL && size < 4 {
				e = syscall.ENOPROTOOPT // says nothing of the option: the length may come first
				return "EINVAL", e
			}
			return errnoName(e), e
		})
	}
	if !known {
		return ""
	}
	return strings.Join(words, " ")
}

// readOption is one getsockopt(2): the int if it is one, else the number of bytes.
func readOption(k kernel.Socket, level, name, size int) (string, syscall.Errno) {
	b := make([]byte, size)
	n, e := k.GetOption(level, name, b)
	switch {
	case e != 0:
		return errnoName(e), e
	case n == 4 && size >= 4 && !unstable(level, name):
		return strconv.Itoa(int(int32(binary.NativeEndian.Uint32(b)))), 0
	}
	return strconv.Itoa(n) + "B", 0
}

// unstable options are those whose value is a clock or a property of the machine.
func unstable(level, name int) bool {
	switch level {
	case syscall.SOL_SOCKET:
		return name == syscall.SO_SNDBUF || name == syscall.SO_RCVBUF || name == solsocket.Cookie || name == solsocket.Meminfo || name == solsocket.NetnsCookie
	case syscall.IPPROTO_TCP:
		return name == tcpTimestamp || name == syscall.TCP_CONGESTION
	}
	return false
}

func errnoName(e syscall.Errno) string {
	switch e {
	case 0:
		return "ok"
	case syscall.ENOPROTOOPT:
		return "ENOPROTOOPT"
	case syscall.EOPNOTSUPP:
		return "EOPNOTSUPP"
	case syscall.EINVAL:
		return "EINVAL"
	}
	return "errno" + strconv.Itoa(int(e))
}

// optionTable is a line for each option, by "socket level/name".
func optionTable(open socketFactory) map[string]string {
	table := map[string]string{}
	for _, s := range optionSockets {
		for _, l := range optionLevels {
			for name := range l.last + 1 {
				if line := optionLine(open, s.family, s.typ, s.protocol, l.level, name); line != "" {
					table[fmt.Sprintf("%s %d/%d", s.name, l.level, name)] = line
				}
			}
		}
	}
	return table
}

func readRecorded(t *testing.T) map[string]string {
	text, err := os.ReadFile(recordedOptions)
	if err != nil {
		t.Fatal(err)
	}
	table := map[string]string{}
	for line := range strings.Lines(string(text)) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), ": ")
		if ok {
			table[key] = value
		}
	}
	return table
}

// optionsDiffer are options that are served and yet answer otherwise than Linux, with the reason.
var optionsDiffer = map[string]string{
	"1/18":   "the largest buffer, of which SO_RCVLOWAT may be half, is another",
	"1/29":   "refused for streams, of whose segments gVisor keeps no times",
	"1/35":   "like SO_TIMESTAMP",
	"1/37":   "flags for times of sending are refused",
	"1/47":   "refused for streams, which gVisor does not pace",
	"1/62":   "an interface that does not exist is refused",
	"1/63":   "like SO_TIMESTAMP",
	"1/64":   "like SO_TIMESTAMP",
	"1/65":   "like SO_TIMESTAMPING",
	"0/49":   "of IPv6 sockets it is Linux's IPV6_MULTICAST_ALL, which is on",
	"6/26":   "CUBIC has nothing to tell; the recording machine had another congestion control",
	"41/17":  "the recording machine had an interface 2",
	"41/70":  "as with net.ipv6.auto_flowlabels=0",
	"17/101": "refused for IPv6",
	"17/102": "refused for IPv6",
}

// TestOptionsLikeLinux: options that are served have Linux's values, ranges, lengths and errors, and
// of those that are refused nothing is accepted but what asks for nothing.
func TestOptionsLikeLinux(t *testing.T) {
	s := newStack(t)
	onEdited(t, s)
	linux, ours := readRecorded(t), optionTable(s.NewSocket)
	differ := map[string]bool{}
	for _, kind := range optionSockets {
		k := &socket{family: kind.family, typ: kind.typ, protocol: kind.protocol}
		if kind.typ == dgram {
			k.protocol = syscall.IPPROTO_UDP
		}
		for _, l := range optionLevels {
			for name := range l.last + 1 {
				option := fmt.Sprintf("%d/%d", l.level, name)
				key := kind.name + " " + option
				o := k.row(l.level, name)
				switch {
				case o == nil && ours[key] != "":
					t.Errorf("%s is in no table, and answers %s", key, ours[key])
				case o == nil:
				case o.how == refused:
					nothingAccepted(t, key, o, ours[key])
				case linux[key] != ours[key] && optionsDiffer[option] == "":
					t.Errorf("%s\n  Linux: %s\n  yolk:  %s", key, linux[key], ours[key])
				case linux[key] != ours[key]:
					differ[option] = true
				}
			}
		}
	}
	for option := range optionsDiffer {
		if !differ[option] {
			t.Errorf("%s answers as on Linux: strike it off optionsDiffer", option)
		}
	}
}

// row returns the row of an option for sockets of k's kind.
func (k *socket) row(level, name int) *option {
	if l := k.tableOf(level); l != nil {
		return l.row(name)
	}
	return nil
}

// nothingAccepted checks the line of a refused option: its values, which stand as "value:answer".
func nothingAccepted(t *testing.T, key string, o *option, line string) {
	t.Helper()
	for word := range strings.FieldsSeq(line) {
		value, answer, ok := strings.Cut(word, ":")
		if !ok || !strings.HasPrefix(answer, "ok") {
			continue
		}
		if v, err := strconv.Atoi(value); err != nil || v != int(o.standard) && v != 0 {
			t.Errorf("%s is refused, and yet accepted with %s: %s", key, value, line)
		}
	}
}

// TestRecordedOptions: the recording is what Linux answers. It depends on the kernel's version and on
// capabilities.
func TestRecordedOptions(t *testing.T) {
	if *updateOptions {
		recordOptions(t)
	}
	if release := linuxRelease(t); os.Getuid() != 0 || !strings.HasPrefix(release, "6.18.") {
		t.Skipf("recorded by root on Linux 6.18; this is user %d on %s", os.Getuid(), release)
	}
	linux, recorded := optionTable(newLinuxSocket), readRecorded(t)
	for key, line := range recorded {
		if linux[key] != line {
			t.Errorf("%s\n  Linux:    %s\n  recorded: %s", key, linux[key], line)
		}
	}
}

func linuxRelease(t *testing.T) string {
	var u syscall.Utsname
	if err := syscall.Uname(&u); err != nil {
		t.Fatal(err)
	}
	var b []byte
	for _, c := range u.Release {
		b = append(b, byte(c))
	}
	return cString(b)
}

func recordOptions(t *testing.T) {
	table := optionTable(newLinuxSocket)
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(table)) {
		b.WriteString(key + ": " + table[key] + "\n")
	}
	if err := os.WriteFile(recordedOptions, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}
