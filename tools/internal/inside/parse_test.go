package inside

import (
	"encoding/binary"
	"reflect"
	"strings"
	"testing"
	"time"
)

// What /proc/net of Linux and of netstack looks like.
func TestSockets(t *testing.T) {
	const tcp = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000003 00:00000000 00000000     0        0 4100 1 0000000000000000 100 0 0 10 0
   1: 0F02000A:0050 0202000A:C001 01 00000010:00000000 00:00000000 00000000     0        0 4101 1 0000000000000000 20 4 30 10 -1
   2: bad:line
`
	const tcp6 = `  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000001000000:0016 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 7 1 0
`
	const unix = "Num       RefCount Protocol Flags    Type St Inode Path\n" +
		"0000000000000000: 00000002 00000000 00010000 0001 01 4200 /tmp/s\n0000000000000000: 00000003 00000000 00000000 0001 03 4201\n"
	got := append(append(parseSockets("tcp", tcp), parseSockets("tcp6", tcp6)...), parseUnix(unix)...)
	want := []Socket{
		{"tcp", "LISTEN", 3, 0, "127.0.0.1:8080", "0.0.0.0:0", 4100},
		{"tcp", "ESTAB", 0, 16, "10.0.2.15:80", "10.0.2.2:49153", 4101},
		{"tcp6", "LISTEN", 0, 0, "[::1]:22", "[::]:0", 7},
		{"unix", "LISTEN", 0, 0, "/tmp/s", "", 4200},
		{"unix", "ESTAB", 0, 0, "", "", 4201},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v\nwant %+v", got, want)
	}
}

func TestRoutes(t *testing.T) {
	const four = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n" +
		"eth0\t0002000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\neth0\t00000000\t0202000A\t0003\t0\t0\t5\t00000000\t0\t0\t0\n"
	const six = "fe800000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0\n"
	got := append(parseRoutes(four), parseRoutes6(six)...)
	want := []Route{{"10.0.2.0/24", "", "eth0", 0}, {"0.0.0.0/0", "10.0.2.2", "eth0", 5}, {"fe80::/64", "", "eth0", 256}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v; want %+v", got, want)
	}
}

func TestKernel(t *testing.T) {
	mounts := parseMounts("rootfs / tmpfs rw,relatime 0 0\nhost /a\\040b 9p ro 0 0\n")
	if want := []Mount{{"rootfs", "/", "tmpfs", "rw,relatime"}, {"host", "/a b", "9p", "ro"}}; !reflect.DeepEqual(mounts, want) {
		t.Errorf("%+v; want %+v", mounts, want)
	}
	files := parseFiles("0\"pipe:[1]\"\npos:\t0\nflags:\t02\nmnt_id:\t15\nino:\t1\n\n12\"/a\\nb\"\npos:\t77\nflags:\t0100000\nmnt_id:\t1\nino:\t9\n\nrubbish\n\n")
	if want := []OpenFile{{0, "pipe:[1]", 0, "02", 1}, {12, "/a\nb", 77, "0100000", 9}}; !reflect.DeepEqual(files, want) {
		t.Errorf("%+v; want %+v", files, want)
	}
	if got := parseMessages("6,0,1500000,-;one\n6,1,x,-;two\nthree\n6,2,12000001,-;four; five\n"); got != "[    1.500000] one\n[   12.000001] four; five\n" {
		t.Errorf("%q", got)
	}
}

// What a queue does is seen by two looks at it, across the wrap of its indices.
func TestQueues(t *testing.T) {
	before := parseDevices("device 1 \"pci 00:02.0\" 15 7\nqueue 0 256 300 44\nqueue 1 256 9 9\ndevice 2 \"x\" 15 1\nqueue 0 128 5 3\nqueue 1 128 65535 65534\n")
	now := parseDevices("device 1 \"pci 00:02.0\" 15 9\nqueue 0 256 300 44\nqueue 1 256 9 9\ndevice 2 \"x\" 15 1\nqueue 0 128 5 3\nqueue 1 128 2 1\ndevice 77 \"y\"\ndevice 5 \"z\" 0 3\n")
	compare(before, now)
	want := []Device{
		{"net", "pci 00:02.0", "works", 9, []Queue{{0, "receive", 256, 300, 44, 256, 0, "waits"}, {1, "send", 256, 9, 9, 0, 0, "empty"}}},
		{"block", "x", "works", 1, []Queue{{0, "requests", 128, 5, 3, 2, 0, "stuck"}, {1, "requests", 128, 2, 1, 1, 3, "moves"}}},
		{"type 77", "y", "unused", 0, []Queue{}},
		{"balloon", "z", "ended", 3, []Queue{}},
	}
	if !reflect.DeepEqual(now, want) {
		t.Errorf("%+v\nwant %+v", now, want)
	}
}

func TestStacks(t *testing.T) {
	const own = "goroutine 1 [running]:\nmain.main()\n\tmain.go:3 +0x1\n\ngoroutine 7 [select]:\nmain.f()\ncreated by main.main in goroutine 1\n\tmain.go:4 +0x2\n"
	const kernels = "goroutine 5 [running]:\nruntime/yolk/wiring/ask.serve()\ncreated by runtime/yolk/wiring/ask.init.0 in goroutine 1\n\task.go:50 +0x9\n\n"
	if got := Stacks(kernels + own); got != own {
		t.Errorf("%q; want %q", got, own)
	}
}

func wordBytes(list ...uint64) []byte {
	var b []byte
	for _, v := range list {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	return b
}

// Samples of one stack are one; what was sampled stands for what was not.
func TestProfiles(t *testing.T) {
	symbols := ownSymbols(t)
	pc := symbols.pcOf(t, "ownSymbols")
	p, err := CPU(wordBytes(3, 0, 100, 5, 1, 4, pc, pc, 5, 2, 6, pc, pc, 4, 0, 0, 9), time.Second, symbols)
	if err != nil || len(p.Sample) != 1 || p.Sample[0].Value[0] != 10 || p.Sample[0].Value[1] != 100e6 {
		t.Fatalf("%v, %v", p, err)
	}
	if f := p.Sample[0].Location[0].Line; len(f) == 0 || !strings.HasSuffix(f[len(f)-1].Function.Name, "inside.ownSymbols") {
		t.Errorf("lines %+v; want ownSymbols", f)
	}
	p, err = Heap(wordBytes(512<<10, 64<<20, 32<<20, 2, 1, 1, pc, 100, 100, 1, 1, 0), symbols)
	if err != nil || len(p.Sample) != 2 || p.Sample[0].Value[3] != 32<<20 || p.Sample[0].Value[0] != 2 {
		t.Fatalf("%v, %v", p, err)
	}
	if got := p.Sample[1].Value; got[1] < 512<<10 || got[1] > 513<<10 || got[3] != 0 {
		t.Errorf("a sample of 100 bytes counts %v; want about the distance of samples, and nothing in use", got)
	}
}

// Whatever a guest sends is a valid profile or an error.
func FuzzProfiles(f *testing.F) {
	symbols := ownSymbols(f)
	f.Add(wordBytes(3, 0, 100, 5, 1, 4, 1, 2))
	f.Add(wordBytes(512<<10, 100, 50, 2, 1, 1, 7))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, read := range []func() error{
			func() error { _, err := Heap(b, symbols); return err },
			func() error { _, err := CPU(b, time.Second, symbols); return err },
		} {
			if err := read(); err != nil && err != ErrProfile {
				t.Fatal(err)
			}
		}
	})
}

// Whatever a guest sends can be printed.
func FuzzParse(f *testing.F) {
	f.Add("device 1 \"x\" 15 7\nqueue 0 256 300 44\n\n1\"x\"\npos:\t1\n\n6,1,2,-;x\n")
	f.Fuzz(func(t *testing.T, s string) {
		parseSockets("tcp", s)
		parseUnix(s)
		parseRoutes(s)
		parseRoutes6(s)
		parseMounts(s)
		parseFiles(s)
		parseMessages(s)
		Stacks(s)
		d := parseDevices(s)
		compare(parseDevices(strings.Repeat(s, 2)), d)
	})
}

// ownSymbols are those of this test.
func ownSymbols(t testing.TB) *Symbols {
	t.Helper()
	s, err := ReadSymbols("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A function that is inlined into another one is named, and so is the other one.
func TestInlined(t *testing.T) {
	s := ownSymbols(t)
	if len(s.inlined) == 0 {
		t.Skip("the test was built without DWARF")
	}
	for _, in := range s.inlined {
		calls := s.Calls(in.low)
		if len(calls) > 1 && calls[0].Func == in.name && calls[0].Line > 0 && calls[len(calls)-1].Line > 0 {
			return
		}
	}
	t.Error("no place with an inlined function")
}

func (s *Symbols) pcOf(t testing.TB, name string) uint64 {
	t.Helper()
	for _, f := range s.table.Funcs {
		if strings.HasSuffix(f.Name, "inside."+name) {
			return f.Entry + 1
		}
	}
	t.Fatalf("no function %s", name)
	return 0
}
