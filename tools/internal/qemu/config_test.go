package qemu

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func config(machine string) Config {
	return Config{Machine: machine, Memory: 256 << 20, CPUs: 1, Kernel: "/tmp/app", Append: `arg0=app arg="a b"`, Nets: []Net{{Kind: NetUser}}}
}

// value returns the argument of each occurrence of an option.
func value(args []string, option string) []string {
	var v []string
	for i, a := range args[:len(args)-1] {
		if a == option {
			v = append(v, args[i+1])
		}
	}
	return v
}

func TestCommandLineMicrovm(t *testing.T) {
	c := config("microvm")
	c.Name = "a,b"
	f, err := ParseForward("8080:80")
	if err != nil {
		t.Fatal(err)
	}
	c.Forwards = []Forward{f}
	got := c.CommandLine()
	want := []string{
		"qemu-system-x86_64",
		"-M", "microvm,acpi=off,rtc=on,pit=on,pic=on",
		"-accel", "tcg", "-cpu", "max", "-m", "256M", "-smp", "1,maxcpus=2",
		"-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
		"-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console",
		"-chardev", "file,id=status,path=/dev/stderr",
		"-device", "isa-debugcon,iobase=0xe9,chardev=status",
		"-device", "isa-debug-exit,iobase=0xf4,iosize=0x04",
		"-name", "a,,b",
		"-global", "virtio-mmio.force-legacy=false",
		"-device", "virtio-rng-device",
		"-device", "virtio-balloon-device,free-page-reporting=on",
		"-netdev", "user,id=net0,hostfwd=tcp:127.0.0.1:8080-:80",
		"-device", "virtio-net-device,netdev=net0",
		"-kernel", "/tmp/app", "-append", `arg0=app arg="a b"`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("command line\n%q\nwant\n%q", got, want)
	}
}

func TestCommandLineOptions(t *testing.T) {
	c := config("q35")
	c.KVM, c.Memory, c.CPUs, c.Initrd = true, 100<<20+1, 2, "/tmp/f"
	c.GDB, _ = ParseDebugger(":1234")
	c.Extra = []string{"-d", "int"}
	c.Monitor = "/run/a,b"
	got := c.CommandLine()
	for option, want := range map[string]string{
		"-M": "q35", "-accel": "kvm", "-cpu": "host", "-m": "101M", "-smp": "2",
		"-gdb": "tcp:127.0.0.1:1234", "-initrd": "/tmp/f", "-d": "int", "-netdev": "user,id=net0",
		"-mon": "chardev=monitor,mode=control",
	} {
		if v := value(got, option); len(v) != 1 || v[0] != want {
			t.Errorf("%s = %q; want %q", option, v, want)
		}
	}
	if c := value(got, "-chardev"); !slices.Contains(c, "socket,id=monitor,server=on,wait=off,path=/run/a,,b") {
		t.Errorf("character devices %q lack the monitor", c)
	}
	if d := value(got, "-device"); !slices.Contains(d, "virtio-net-pci,disable-legacy=on,netdev=net0,romfile=") {
		t.Errorf("devices %q lack a modern PCI network card", d)
	}
	if d := value(got, "-device"); !slices.Contains(d, "vmgenid,guid=auto") {
		t.Errorf("devices %q do not tell the guest that it was resumed", d)
	}
}

func TestCommandLineConfined(t *testing.T) {
	c := config("microvm")
	if a := c.CommandLine(); slices.Contains(a, "-sandbox") || slices.Contains(a, "-runas") {
		t.Errorf("%q; want no confinement that was not chosen", a)
	}
	c.Confined = Confinement{Sandbox: true}
	if got := value(c.CommandLine(), "-sandbox"); len(got) != 1 || got[0] != "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny" {
		t.Errorf("-sandbox %q", got)
	}
	c.Confined.User = "nobody"
	a := c.CommandLine()
	if got := value(a, "-sandbox"); len(got) != 1 || got[0] != "on,obsolete=deny,spawn=deny,resourcecontrol=deny" || !slices.Equal(value(a, "-runas"), []string{"nobody"}) {
		t.Errorf("%q; want that QEMU can become another user", a)
	}
}

func TestParseDebugger(t *testing.T) {
	for in, want := range map[string]string{
		":1234": "127.0.0.1:1234", "1234": "127.0.0.1:1234", "tcp::1234": "127.0.0.1:1234", "tcp:1234": "127.0.0.1:1234",
		"localhost:1": "127.0.0.1:1", "10.0.0.1:2": "10.0.0.1:2", "0.0.0.0:3": "0.0.0.0:3", "[::]:4": "[::]:4", "[::1]:5": "[::1]:5",
		"unix:/run/s": "/run/s", "unix:s": "s",
	} {
		d, err := ParseDebugger(in)
		wide := strings.HasPrefix(want, "10.") || strings.HasPrefix(want, "0.") || strings.HasPrefix(want, "[::]")
		if err != nil || d.String() != want || d.Wide() != wide {
			t.Errorf("ParseDebugger(%q) = %v, %v, wide %v; want %s", in, d, err, d.Wide(), want)
		}
	}
	for _, in := range []string{"", ":", ":x", ":65536", "host:1", "1.2.3:4", "unix:", "unix:/s,server=off", "tcp::1,server=off", "::1"} {
		if d, err := ParseDebugger(in); err == nil || !strings.Contains(err.Error(), "want :PORT") {
			t.Errorf("ParseDebugger(%q) = %v, %v; want an error that says what is", in, d, err)
		}
	}
	if d := (Debugger{}); d.Pick() != nil || !d.IsZero() || d.args() != nil {
		t.Errorf("no debugger became %v", d)
	}
	d, _ := ParseDebugger(":0")
	if err := d.Pick(); err != nil || d.Addr.Port() == 0 || d.Wide() {
		t.Errorf("Pick: %v, %v", d, err)
	}
}

func TestCommandLineNetworks(t *testing.T) {
	c := config("pc")
	c.Nets = nil
	if got := c.CommandLine(); slices.Contains(got, "-netdev") {
		t.Errorf("-net none: %q", got)
	}
	c.Nets = []Net{{Kind: NetTap, Tap: "tap0"}}
	got := value(c.CommandLine(), "-netdev")
	if want := "tap,id=net0,ifname=tap0,script=no,downscript=no"; len(got) != 1 || got[0] != want {
		t.Errorf("-net tap: -netdev %q; want %q", got, want)
	}
	a := value(c.CommandLine(), "-device")
	c.Nets = []Net{{Kind: NetTap, Tap: "tap1"}}
	if slices.Equal(a, value(c.CommandLine(), "-device")) {
		t.Error("guests on two taps have the same MAC address")
	}

	c.Nets = []Net{{Kind: NetUser}}
	c.IP, _ = ParseIP("192.168.7.9/24,gw=192.168.7.1")
	f, _ := ParseForward("0.0.0.0:53:5353/udp")
	c.Forwards = []Forward{f}
	got = value(c.CommandLine(), "-netdev")
	if want := "user,id=net0,net=192.168.7.0/24,host=192.168.7.1,hostfwd=udp:0.0.0.0:53-192.168.7.9:5353"; got[0] != want {
		t.Errorf("fixed address: -netdev %q; want %q", got[0], want)
	}
}

// Each card has a network of its own, in the order of -net; the fixed address and its network belong
// to the first card.
func TestCommandLineCards(t *testing.T) {
	c := config("microvm")
	c.Nets = nil
	for _, s := range []string{"udp:5001:5002", "user", "tap:tap0", "udp:127.0.0.2:7:127.0.0.3:8"} {
		n, err := ParseNet(s)
		if err != nil {
			t.Fatal(err)
		}
		c.Nets = append(c.Nets, n)
	}
	c.IP, _ = ParseIP("192.168.7.9/24")
	want := []string{
		"socket,id=net0,udp=127.0.0.1:5002,localaddr=127.0.0.1:5001",
		"user,id=net1",
		"tap,id=net2,ifname=tap0,script=no,downscript=no",
		"socket,id=net3,udp=127.0.0.3:8,localaddr=127.0.0.2:7",
	}
	args := c.CommandLine()
	if got := value(args, "-netdev"); !slices.Equal(got, want) {
		t.Errorf("-netdev %q; want %q", got, want)
	}
	macs := map[string]bool{}
	for i, d := range value(args, "-device")[4:] {
		_, options, _ := strings.Cut(d, fmt.Sprintf("virtio-net-device,netdev=net%d", i))
		if macs[options] || (options == "") != (i == 1) {
			t.Errorf("card %d is %q; want its network, and a MAC address of its own", i, d)
		}
		macs[options] = true
	}
}

func TestParseNet(t *testing.T) {
	for _, s := range []string{"", "none", "wifi", "tap", "tap:", "tap:a b", "user:x", "udp", "udp:1", "udp:1:2:3", "udp:0:1", "udp:1:x", "udp:::1:1:2", "udp:host:1:host:2"} {
		if n, err := ParseNet(s); err == nil || !strings.Contains(err.Error(), "-net "+s+": want ") {
			t.Errorf("ParseNet(%q) = %+v, %v; want an error that says what is", s, n, err)
		}
	}
}

func TestCommandLineFolders(t *testing.T) {
	c := config("microvm")
	c.Folders = []Folder{{Host: "/a,b", Guest: "/mnt"}, {Host: "/c", Guest: "/d", ReadOnly: true, Mapped: true}}
	got := c.CommandLine()
	want := []string{
		"local,id=fs0,path=/a,,b,security_model=none,multidevs=remap",
		"local,id=fs1,path=/c,security_model=mapped-xattr,multidevs=remap,readonly=on",
	}
	if fs := value(got, "-fsdev"); !slices.Equal(fs, want) {
		t.Errorf("-fsdev %q; want %q", fs, want)
	}
	for machine, want := range map[string]string{
		"microvm": "virtio-9p-device,fsdev=fs1,mount_tag=folder1", "q35": "virtio-9p-pci,disable-legacy=on,fsdev=fs1,mount_tag=folder1",
	} {
		c.Machine = machine
		if d := value(c.CommandLine(), "-device"); !slices.Contains(d, want) {
			t.Errorf("devices %q lack %q", d, want)
		}
	}
	if w := c.Folders[0].Word(0) + " " + c.Folders[1].Word(1); w != "folder0:/mnt folder1:/d:ro" {
		t.Errorf("words %q", w)
	}
}

func TestCommandLineDisks(t *testing.T) {
	c := config("microvm")
	c.Disks = []Disk{{Host: "/a,b", Guest: "/data"}, {Host: "/c", ReadOnly: true}, {Host: "/d.qcow2", Guest: "/", ReadOnly: true}}
	const common = ",cache=writeback,discard=unmap,werror=report"
	want := []string{
		"if=none,id=disk0,file=/a,,b,format=raw" + common,
		"if=none,id=disk1,file=/c,format=raw" + common + ",readonly=on",
		"if=none,id=disk2,file=/d.qcow2,format=qcow2" + common + ",readonly=on",
	}
	if d := value(c.CommandLine(), "-drive"); !slices.Equal(d, want) {
		t.Errorf("-drive %q; want %q", d, want)
	}
	c.CPUs = 2
	for machine, want := range map[string]string{
		"microvm": "virtio-blk-device,drive=disk1,serial=disk1,num-queues=2",
		"q35":     "virtio-blk-pci,disable-legacy=on,drive=disk1,serial=disk1,num-queues=3",
	} {
		c.Machine = machine
		if d := value(c.CommandLine(), "-device"); !slices.Contains(d, want) {
			t.Errorf("devices %q lack %q", d, want)
		}
	}
	var words []string
	for i, d := range c.Disks {
		key, value := d.Word(i)
		words = append(words, key+"="+value)
	}
	if want := []string{"mount=disk0:/data", "=", "root=disk2:ro"}; !slices.Equal(words, want) {
		t.Errorf("words %q; want %q", words, want)
	}
}

func TestParseDisk(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	for _, name := range []string{"d.img", "a:b", "c:/d"} {
		os.MkdirAll(filepath.Dir(name), 0o755)
		os.WriteFile(name, []byte("x"), 0o600)
	}
	os.WriteFile("empty", nil, 0o600)
	for in, want := range map[string]Disk{
		"d.img":          {Host: dir + "/d.img"},
		"d.img:ro":       {Host: dir + "/d.img", ReadOnly: true},
		"d.img:/data/":   {Host: dir + "/d.img", Guest: "/data"},
		"d.img:/data:ro": {Host: dir + "/d.img", Guest: "/data", ReadOnly: true},
		"d.img:/:ro":     {Host: dir + "/d.img", Guest: "/", ReadOnly: true},
		"a:b":            {Host: dir + "/a:b"},
		"a:b:/x":         {Host: dir + "/a:b", Guest: "/x"},
		dir + "/d.img":   {Host: dir + "/d.img"},
	} {
		if got, err := ParseDisk(in); err != nil || got != want {
			t.Errorf("ParseDisk(%q) = %+v, %v; want %+v", in, got, err, want)
		}
	}
	for in, want := range map[string]string{
		"":               "want FILE",
		":ro":            "want FILE",
		"none":           "yolk disk create -size 1G none",
		"none:/data":     "yolk disk create -size 1G none",
		"empty":          "is empty; make a file system there with yolk disk create -force",
		".":              "is a folder; mount it with -v .:/mnt",
		"d.img:data":     "as in d.img:/data",
		"d.img:/data:rw": "there is only ro",
	} {
		if got, err := ParseDisk(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseDisk(%q) = %+v, %v; want an error with %q", in, got, err, want)
		}
	}
}

func TestParseFolder(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	os.Mkdir("sub", 0o700)
	os.Mkdir("a:b", 0o700)
	os.WriteFile("file", nil, 0o600)
	real, _ := filepath.EvalSymlinks(dir)
	for in, want := range map[string]Folder{
		"sub:/mnt":            {Host: real + "/sub", Guest: "/mnt"},
		"./sub:/mnt/../x/:ro": {Host: real + "/sub", Guest: "/x", ReadOnly: true},
		"sub:/mnt:ro:mapped":  {Host: real + "/sub", Guest: "/mnt", ReadOnly: true, Mapped: true},
		".:/m:n":              {},
		"a:b:/mnt":            {Host: real + "/a:b", Guest: "/mnt"},
		real + ":/mnt":        {Host: real, Guest: "/mnt"},
	} {
		got, err := ParseFolder(in)
		if want == (Folder{}) {
			if err == nil {
				t.Errorf("ParseFolder(%q) = %+v; want an error", in, got)
			}
			continue
		}
		if err != nil || got != want {
			t.Errorf("ParseFolder(%q) = %+v, %v; want %+v", in, got, err, want)
		}
	}
	for in, want := range map[string]string{
		"none:/mnt": "no such file", "file:/mnt": "is not a folder", "sub": "want DIR:/path", ":/mnt": "want DIR:/path",
		"sub:mnt": "as in sub:/mnt", "sub:/mnt:rw": "there are ro and mapped", "sub:/": "cannot be the guest's root", "": "want DIR:/path",
	} {
		if got, err := ParseFolder(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseFolder(%q) = %+v, %v; want an error with %q", in, got, err, want)
		}
	}
}

func TestParseForward(t *testing.T) {
	for _, tt := range []struct {
		in, proto, host string
		guest           uint16
	}{
		{"8080:80", "tcp", "127.0.0.1:8080", 80},
		{"53:5353/udp", "udp", "127.0.0.1:53", 5353},
		{"1:2/TCP", "tcp", "127.0.0.1:1", 2},
		{":8080", "tcp", "127.0.0.1:0", 8080},
		{"0:8080", "tcp", "127.0.0.1:0", 8080},
		{"0.0.0.0:80:81", "tcp", "0.0.0.0:80", 81},
	} {
		got, err := ParseForward(tt.in)
		want := Forward{Proto: tt.proto, Host: netip.MustParseAddrPort(tt.host), Guest: tt.guest}
		if err != nil || got != want {
			t.Errorf("ParseForward(%q) = %+v, %v; want %+v", tt.in, got, err, want)
		}
	}
	for _, in := range []string{"", "80", "80:", "a:80", "80:0", "80:65536", "80:80/sctp", "::1:80:80", "[::1]:80:80", "[::]::80", "host:80:80", "1:2:3:4", "-1:80", "80: 80"} {
		if got, err := ParseForward(in); err == nil || !strings.Contains(err.Error(), "-p 8080:80") {
			t.Errorf("ParseForward(%q) = %+v, %v; want an error with an example", in, got, err)
		}
	}
}

func TestPick(t *testing.T) {
	for _, s := range []string{":80", ":53/udp"} {
		f, _ := ParseForward(s)
		if err := f.Pick(); err != nil || f.Host.Port() == 0 || !f.Chosen {
			t.Errorf("Pick for %s: %+v, %v; want a port", s, f, err)
		}
	}
	f, _ := ParseForward("81:80")
	if err := f.Pick(); err != nil || f.Host.Port() != 81 || f.Chosen {
		t.Errorf("Pick changed a named port: %+v, %v", f, err)
	}
}

func TestParseIP(t *testing.T) {
	for in, want := range map[string]string{
		"dhcp":                     "",
		"off":                      "off",
		"10.0.2.15/24":             "10.0.2.15:::255.255.255.0:::off",
		"10.0.2.15/24,gw=10.0.2.2": "10.0.2.15::10.0.2.2:255.255.255.0:::off",
		"10.0.2.15/8,gw=10.0.2.2,dns=9.9.9.9,dns=1.1.1.1":      "10.0.2.15::10.0.2.2:255.0.0.0:::off:9.9.9.9:1.1.1.1",
		"10.0.2.15::10.0.2.2:255.255.255.0":                    "10.0.2.15::10.0.2.2:255.255.255.0:::off",
		"10.0.2.15::10.0.2.2:255.255.255.0:h:eth0:off:9.9.9.9": "10.0.2.15::10.0.2.2:255.255.255.0:::off:9.9.9.9",
	} {
		ip, err := ParseIP(in)
		if err != nil || ip.Word() != want {
			t.Errorf("ParseIP(%q) = %q, %v; want %q", in, ip.Word(), err, want)
		}
		if again, err := ParseIP(ip.Word()); err != nil || again.Word() != want {
			t.Errorf("ParseIP(%q) = %q, %v; want the same again", ip.Word(), again.Word(), err)
		}
	}
	for _, in := range []string{
		"10.0.2.15", "10.0.2/24", "10.0.2.15/33", "10.0.2.15/0", "fe80::1/64", "1.2.3.4/24,gw=9.9.9.9",
		"1.2.3.4/24,gw=1.2.3.4", "1.2.3.4/24,mtu=3", "1.2.3.4/24,gw", "127.0.0.1/8", "224.0.0.1/8",
		"1.2.3.4::1.2.3.1:255.0.255.0", "1.2.3.4", ":", "a:b:c:d", "1.2.3.4::::::::::::",
		"1.2.3.4/24,dns=1.1.1.1,dns=2.2.2.2,dns=3.3.3.3",
	} {
		_, err := ParseIP(in)
		if err == nil || !strings.Contains(err.Error(), "ADDR/PREFIX") || strings.Contains(err.Error(), "\n") {
			t.Errorf("ParseIP(%q): error %v; want one line with the accepted forms", in, err)
		}
	}
}

func TestUsableKVM(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	dev := file("kvm", "")
	intel := file("intel", "model name : x\nflags : fpu vmx sse\n")
	plain := file("plain", "model name : vmx\nflags\t\t: fpu sse\n")
	for _, tt := range []struct {
		dev, cpuinfo string
		want         bool
		why          string
	}{
		{dev, intel, true, ""},
		{dev, plain, false, "neither vmx nor svm"},
		{filepath.Join(dir, "none"), intel, false, "there is no "},
		{dev, filepath.Join(dir, "none"), false, "no such file"},
	} {
		got, why := usableKVM(tt.dev, tt.cpuinfo)
		if got != tt.want || !strings.Contains(why, tt.why) {
			t.Errorf("usableKVM(%s, %s) = %v, %q; want %v, %q", tt.dev, tt.cpuinfo, got, why, tt.want, tt.why)
		}
	}
}

// The texts are what QEMU 7.2 prints.
func TestExplain(t *testing.T) {
	c := config("microvm")
	c.Nets = []Net{{Kind: NetUser}, {Kind: NetTap, Tap: "tap6"}, {Kind: NetTap, Tap: "tap7"}, {Kind: NetUDP, Local: netip.MustParseAddrPort("127.0.0.1:5001")}}
	c.GDB, _ = ParseDebugger(":1234")
	c.Folders = []Folder{{Host: "/data", Guest: "/mnt"}}
	c.Disks = []Disk{{Host: "/d/data.img", Guest: "/data"}, {Host: "/ro.img", ReadOnly: true}}
	const q = "qemu-system-x86_64: "
	for stderr, want := range map[string]string{
		q + "-netdev user,id=net0,hostfwd=tcp:127.0.0.1:8080-:80: Could not set up host forwarding rule 'tcp:127.0.0.1:8080-:80'\n":                 "port 8080 is in use; choose another with -p 8081:80",
		q + "-netdev x: Could not set up host forwarding rule 'udp::65535-10.0.2.15:53'\n":                                                          "port 65535 is in use; choose another with -p 65534:53/udp",
		"Could not access KVM kernel module: No such file or directory\n" + q + "failed to initialize kvm: No such file\n":                          "KVM does not work here; use -accel tcg",
		q + "cannot set up guest memory 'microvm.ram': Cannot allocate memory\n":                                                                    "the host cannot give the VM 256 MiB of memory; choose less with -m",
		q + "could not configure /dev/net/tun (tap7): Operation not permitted\n":                                                                    "the tap interface tap7 cannot be opened",
		q + "warning: TCG doesn't support requested feature\n" + q + "-device foo: 'foo' is not a valid device model name\n":                        "-device foo: 'foo' is not a valid device model name",
		"There is no option group 'fsdev'\n" + q + "-fsdev local,id=fs0: fsdev support is disabled\n":                                               "built without virtfs, which -v needs; install one that has it, or give the program a copy with -files /data:/mnt",
		q + "-device virtio-9p-device,fsdev=fs0: 'virtio-9p-device' is not a valid device model name\n":                                             "built without virtfs",
		q + "gdbstub: couldn't create chardev\n":                                                                                                    "choose another address with -gdb",
		q + "-device virtio-blk-device,drive=disk0,serial=disk0: Failed to get \"write\" lock\nIs another process using the image [/d/data.img]?\n": "/d/data.img is in use by another VM",
		q + "-device virtio-blk-pci,disable-legacy=on,drive=disk1,serial=disk1: Failed to get shared \"write\" lock\n":                              "/ro.img is in use: another VM writes to it",
		q + "-drive if=none,id=disk0,file=/d/data.img,format=raw: Could not open '/d/data.img': Permission denied\n":                                "/d/data.img cannot be written; add :ro to only read it",
		q + "-netdev socket,id=net3,udp=127.0.0.1:5002,localaddr=127.0.0.1:5001: can't bind ip=127.0.0.1 to socket: Address already in use\n":       "UDP port 5001 is in use; choose another with -net",
		"": "",
	} {
		if got := c.explain(stderr); !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("explain(%q)\n= %q; want %q", stderr, got, want)
		}
	}
}

// A tap interface has to be there and to be one.
func TestCheckTap(t *testing.T) {
	sys := t.TempDir()
	for _, d := range []string{"tap0", "eth0"} {
		if err := os.Mkdir(filepath.Join(sys, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(sys, "tap0", "tun_flags"), []byte("0x1002\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"tap0": "", "eth0": "that is no tap interface", "nosuch": "make it with: ip tuntap add dev nosuch mode tap",
	} {
		err := Net{Kind: NetTap, Tap: name}.CheckTap(sys)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", name, err, want)
		}
	}
	if err := (Net{Kind: NetUser}).CheckTap(sys); err != nil {
		t.Error(err)
	}
}
