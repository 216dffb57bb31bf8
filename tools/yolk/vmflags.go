package main

import (
	"bufio"
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/yolk-unikernel/yolk/boot"
	"github.com/yolk-unikernel/yolk/tools/internal/bootline"
	"github.com/yolk-unikernel/yolk/tools/internal/elfcheck"
	"github.com/yolk-unikernel/yolk/tools/internal/health"
	"github.com/yolk-unikernel/yolk/tools/internal/initfs"
	"github.com/yolk-unikernel/yolk/tools/internal/qemu"
	"github.com/yolk-unikernel/yolk/tools/internal/restart"
	"github.com/yolk-unikernel/yolk/tools/internal/toolchain"
)

// vmFlags are the flags that describe a virtual machine and its program's environment.
type vmFlags struct {
	forwards []qemu.Forward
	memory   int64
	cpus     int
	machine  string
	accel    string
	nets     []qemu.Net // from -net
	noNet    bool       // -net none
	ip       qemu.IP
	env      []string // NAME=VALUE
	files    []initfs.Source
	secrets  []initfs.Text
	zone     []initfs.Text // the file of the time zone that TZ names, if any
	folders  []qemu.Folder
	disks    []qemu.Disk
	hostname string
	cwd      string
	gdb      qemu.Debugger
	core     string // where to write a core if the program crashes
	name     string
	extra    []string
	print    bool
	quiet    bool // no notes about the accelerator
	fromGo   bool // the go command runs it
	strict   bool // no new executable memory

	detach         bool
	restart        restart.Policy
	stopTimeout    time.Duration
	health         *health.Check // nil without -health
	healthSettings health.Settings
	given          []string          // the flags as they were given, but for -d
	borrowed       map[string]string // variables of the host that flags name
}

const defaultMemory = 256 << 20

func newVMFlags() *vmFlags {
	return &vmFlags{
		memory: defaultMemory, cpus: 1, machine: qemu.Machines[0], accel: "auto",
		stopTimeout: stopGrace, healthSettings: health.Defaults, borrowed: map[string]string{},
	}
}

// parse reads the flags at the front of args and returns the rest. Flags that are not in the set
// are passed to other, if it is not nil.
func (v *vmFlags) parse(args []string, other func(args []string) (n int, err error)) ([]string, error) {
	for len(args) > 0 && strings.HasPrefix(args[0], "-") && args[0] != "-" {
		if args[0] == "--" {
			return args[1:], nil
		}
		n, err := v.one(args)
		if err == nil && !isDetach(args[0]) {
			v.given = append(v.given, args[:n]...)
		}
		if errors.Is(err, errUnknown) && other != nil {
			n, err = other(args)
		}
		if err != nil {
			return nil, err
		}
		args = args[n:]
	}
	return args, nil
}

var errUnknown = errors.New("unknown flag")

// switches are the flags that have no value.
var switches = []string{"n", "q", "d", "strict"}

// one reads one flag and returns how many arguments it took.
func (v *vmFlags) one(args []string) (int, error) {
	name, value, hasValue := strings.Cut(strings.TrimLeft(args[0], "-"), "=")
	if isHelp(args[0]) {
		return 0, flag.ErrHelp
	}
	if !hasValue && slices.Contains(switches, name) {
		*map[string]*bool{"n": &v.print, "q": &v.quiet, "d": &v.detach, "strict": &v.strict}[name] = true
		return 1, nil
	}
	set := v.setter(name)
	if set == nil {
		return 0, fmt.Errorf("%w %s", errUnknown, args[0])
	}
	n := 1
	if !hasValue {
		if len(args) < 2 {
			return 0, fmt.Errorf("flag -%s needs a value", name)
		}
		value, n = args[1], 2
	}
	return n, set(value)
}

func (v *vmFlags) setter(name string) func(string) error {
	switch name {
	case "p":
		return v.setPort
	case "m":
		return v.setMemory
	case "smp":
		return v.setCPUs
	case "machine":
		return oneOf("machine", &v.machine, qemu.Machines...)
	case "accel":
		return oneOf("accel", &v.accel, "auto", "kvm", "tcg")
	case "e":
		return v.setEnv
	case "env-file":
		return v.readEnvFile
	case "secret":
		return v.addSecret
	case "net":
		return v.addNet
	case "ip":
		return func(s string) (err error) { v.ip, err = qemu.ParseIP(s); return }
	case "files":
		return v.addFiles
	case "hostname":
		return v.setHostname
	case "w":
		return v.setCwd
	case "gdb":
		return func(s string) (err error) { v.gdb, err = qemu.ParseDebugger(s); return }
	case "core":
		return v.setCore
	case "name":
		return v.setName
	case "qemu-arg":
		return func(s string) error { v.extra = append(v.extra, s); return nil }
	case "v":
		return v.addFolder
	case "disk":
		return v.addDisk
	}
	return v.keeperSetter(name)
}

func oneOf(name string, dst *string, values ...string) func(string) error {
	return func(s string) error {
		if !slices.Contains(values, s) {
			return fmt.Errorf("-%s %s: want one of %s", name, s, strings.Join(values, ", "))
		}
		*dst = s
		return nil
	}
}

func (v *vmFlags) setPort(s string) error {
	f, err := qemu.ParseForward(s)
	if err != nil {
		return err
	}
	for _, g := range v.forwards {
		if f.Host.Port() != 0 && f.Host == g.Host && f.Proto == g.Proto {
			return fmt.Errorf("-p %s: port %d of the host is given twice", s, f.Host.Port())
		}
	}
	v.forwards = append(v.forwards, f)
	return nil
}

var sizes = regexp.MustCompile(`^([0-9]+)([KkMmGg]?)(i?[Bb])?$`)

const maxMemory = 1 << 40

// parseSize reads a size in bytes; a bare number is in MiB, as for QEMU.
func parseSize(s string) (int64, error) {
	m := sizes.FindStringSubmatch(s)
	if m == nil {
		return 0, errors.New("want a size such as 256M or 1G")
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	shift := map[string]int{"K": 10, "": 20, "M": 20, "G": 30}[strings.ToUpper(m[2])]
	if err != nil || n > math.MaxInt64>>shift {
		return 0, errors.New("too large")
	}
	return n << shift, nil
}

// setMemory sets the RAM.
func (v *vmFlags) setMemory(s string) error {
	n, err := parseSize(s)
	if err != nil {
		return fmt.Errorf("-m %s: %w", s, err)
	}
	if n > maxMemory {
		return fmt.Errorf("-m %s: more than yolk can use; the limit is 1024G", s)
	}
	if n < qemu.MinMemory {
		return fmt.Errorf("-m %s: RAM too small for an image; use -m 16M or more", s)
	}
	v.memory = n
	return nil
}

func (v *vmFlags) setCPUs(s string) error {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > 255 {
		return fmt.Errorf("-smp %s: want a number of CPUs from 1 to 255", s)
	}
	v.cpus = n
	return nil
}

func (v *vmFlags) setEnv(s string) error {
	name, _, hasValue := strings.Cut(s, "=")
	if !bootline.ValidKey(name) {
		return fmt.Errorf("-e %s: want NAME=VALUE (or NAME, to pass it on)", s)
	}
	if !hasValue {
		value, ok := os.LookupEnv(name)
		if !ok {
			return fmt.Errorf("-e %s: not set here; want NAME=VALUE", s)
		}
		v.borrowed[name] = value
		s = name + "=" + value
	}
	v.env = append(v.env, s)
	return nil
}

// readEnvFile reads NAME=VALUE lines; blank lines and # comments are skipped.
func (v *vmFlags) readEnvFile(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("-env-file: %w", err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, boot.MaxConfig)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		if key, _, ok := strings.Cut(line, "="); !ok || !bootline.ValidKey(key) {
			return fmt.Errorf("-env-file %s: line %d is not NAME=VALUE", name, n)
		}
		v.env = append(v.env, line)
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("-env-file %s: %w", name, err)
	}
	return nil
}

// secretName is a file name.
var secretName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)

// addSecret reads NAME=FILE, or NAME for the value of a variable.
func (v *vmFlags) addSecret(s string) error {
	name, file, hasFile := strings.Cut(s, "=")
	if !secretName.MatchString(name) {
		return fmt.Errorf("-secret %s: want NAME or NAME=FILE, with a NAME of letters, digits, dots, dashes and underscores", name)
	}
	secret := initfs.Text{Guest: "/run/secrets/" + name}
	if slices.ContainsFunc(v.secrets, func(t initfs.Text) bool { return t.Guest == secret.Guest }) {
		return fmt.Errorf("-secret %s is given twice", name)
	}
	if hasFile {
		data, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("-secret %s: %w", name, err)
		}
		secret.Data = data
	} else {
		value, ok := os.LookupEnv(name)
		if !ok {
			return fmt.Errorf("-secret %s: the variable is not set here; want NAME=FILE", name)
		}
		v.borrowed[name] = value
		secret.Data = []byte(value)
	}
	v.secrets = append(v.secrets, secret)
	return nil
}

// addNet adds a network card.
func (v *vmFlags) addNet(s string) error {
	if s == "none" {
		v.noNet = true
		return nil
	}
	n, err := qemu.ParseNet(s)
	if err != nil {
		return err
	}
	for _, o := range v.nets {
		if o.Kind == n.Kind && o.Tap == n.Tap && o.Local == n.Local {
			return fmt.Errorf("-net %s is given twice", s)
		}
	}
	v.nets = append(v.nets, n)
	return nil
}

// networks returns the networks of the VM's cards: without -net, one card in QEMU's own network.
func (v *vmFlags) networks() []qemu.Net {
	if len(v.nets) == 0 && !v.noNet {
		return []qemu.Net{{Kind: qemu.NetUser}}
	}
	return v.nets
}

func (v *vmFlags) addFiles(s string) error {
	src, err := initfs.Parse(s)
	if err != nil {
		return fmt.Errorf("-files: %w", err)
	}
	v.files = append(v.files, src)
	return nil
}

func (v *vmFlags) addFolder(s string) error {
	f, err := qemu.ParseFolder(s)
	if err != nil {
		return fmt.Errorf("-v: %w", err)
	}
	for _, g := range v.folders {
		if f.Guest == g.Guest {
			return fmt.Errorf("-v %s: %s of the guest is given twice", s, f.Guest)
		}
	}
	v.folders = append(v.folders, f)
	return nil
}

func (v *vmFlags) addDisk(s string) error {
	d, err := qemu.ParseDisk(s)
	if err != nil {
		return fmt.Errorf("-disk: %w", err)
	}
	for _, e := range v.disks {
		if d.Guest != "" && d.Guest == e.Guest {
			return fmt.Errorf("-disk %s: %s of the guest is given twice", s, d.Guest)
		}
	}
	v.disks = append(v.disks, d)
	return nil
}

// diskTag is the build tag of programs that can use disks.
const diskTag = "yolkdisk"

// imageRoom is what an image needs beside itself before it can say that it lacks memory, in bytes.
const imageRoom = 256 << 10

// leastMemory is the RAM in bytes, in whole MiB, below which no VM has room for an image.
func leastMemory(im *elfcheck.Image) uint64 { return max(qemu.MinMemory, (im.End>>20+4)<<20) }

// checkMemory returns an error if the VM has less memory than its image.
func (v *vmFlags) checkMemory(im *elfcheck.Image) error {
	if im.End+imageRoom <= uint64(v.memory) {
		return nil
	}
	return fmt.Errorf("-m %dM: %s alone has %d MiB; use -m %dM or more", v.memory>>20, im.Path, im.Size>>20, leastMemory(im)>>20)
}

// checkDisks returns an error if an image cannot use the disks that it is to get.
func (v *vmFlags) checkDisks(im *elfcheck.Image) error {
	if len(v.disks) == 0 || slices.Contains(im.Tags, diskTag) {
		return nil
	}
	return fmt.Errorf("%s is built without disks; build it with yolk build -disk, or with go build -tags %s", im.Path, diskTag)
}

// addHostFolders mounts folders at their own paths, unless the user has mounted something there.
func (v *vmFlags) addHostFolders(folders []string) {
	for _, dir := range folders {
		if !slices.ContainsFunc(v.folders, func(f qemu.Folder) bool { return f.Guest == dir }) {
			v.folders = append(v.folders, qemu.Folder{Host: dir, Guest: dir})
		}
	}
}

// hostnameOf makes a host's name of a VM's, which may have underscores.
func hostnameOf(name string) string {
	if name = strings.Trim(strings.ReplaceAll(name, "_", "-"), ".-"); hostname.MatchString(name) {
		return name
	}
	return ""
}

var hostname = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]{0,62}[A-Za-z0-9])?$`) // HOST_NAME_MAX

func (v *vmFlags) setHostname(s string) error {
	if !hostname.MatchString(s) {
		return fmt.Errorf("-hostname %s: want letters, digits, dots and dashes, at most 64", s)
	}
	v.hostname = s
	return nil
}

func (v *vmFlags) setCwd(s string) error {
	if !path.IsAbs(s) {
		return fmt.Errorf("-w %s: want an absolute path in the guest", s)
	}
	v.cwd = path.Clean(s)
	return nil
}

// check finds flags that contradict each other.
func (v *vmFlags) check() error {
	for _, d := range v.disks {
		if d.Guest == "/" && len(v.files) > 0 {
			return fmt.Errorf("-disk %s:/ hides what -files brings; give the program files with -v, or in another disk", d.Host)
		}
	}
	if v.noNet && len(v.nets) > 0 {
		return errors.New("-net none is for a VM without a network card; there is another -net")
	}
	isUser := func(n qemu.Net) bool { return n.Kind == qemu.NetUser || n.Kind == qemu.NetPasst }
	if v.print && slices.ContainsFunc(v.networks(), func(n qemu.Net) bool { return n.Kind == qemu.NetPasst }) {
		return errors.New("-n prints one command, and -net passt needs two: use -net user")
	}
	if len(v.forwards) > 0 && !slices.ContainsFunc(v.networks(), isUser) {
		return errors.New("-p needs -net user or -net passt; over another network connect to the guest's own address")
	}
	return v.checkKeeper()
}

// checkTaps returns an error if a tap interface cannot be used.
func (v *vmFlags) checkTaps() error {
	for _, n := range v.nets {
		if err := n.CheckTap("/sys/class/net"); err != nil && !v.print {
			return err
		}
	}
	return nil
}

// onceADay reports whether it was not called with this name in the last 24 hours, as far as the cache folder tells.
func onceADay(name string) bool {
	dir, err := toolchain.CacheDir()
	if err != nil {
		return true
	}
	path := filepath.Join(dir, "said-"+name)
	if info, err := os.Stat(path); err == nil && time.Since(info.ModTime()).Abs() < 24*time.Hour {
		return false
	}
	if os.MkdirAll(dir, 0o755) == nil && os.WriteFile(path, nil, 0o644) == nil {
		now := time.Now()
		os.Chtimes(path, now, now)
	}
	return true
}

// config chooses the accelerator and free ports. It writes notes for the user to w.
func (v *vmFlags) config(w io.Writer) (qemu.Config, error) {
	c := qemu.Config{
		Machine: v.machine, Memory: v.memory, CPUs: v.cpus, Nets: v.networks(), IP: v.ip,
		GDB: v.gdb, Name: v.name, Extra: v.extra, Folders: v.folders, Disks: v.disks,
	}
	switch v.accel {
	case "kvm":
		if ok, why := qemu.UsableKVM(); !ok && !v.print {
			return c, fmt.Errorf("-accel kvm: %s; -accel tcg emulates the VM, which is slower", why)
		}
		c.KVM = true
	case "auto":
		ok, why := qemu.UsableKVM()
		if c.KVM = ok; !ok && !v.quiet && onceADay("no-kvm") {
			fmt.Fprintf(w, "yolk: no KVM (%s): the VM is emulated, which is slower (said once a day)\n", why)
		}
	}
	for i := range v.forwards {
		f := &v.forwards[i]
		if err := f.Pick(); err != nil {
			return c, fmt.Errorf("no free port for -p: %w", err)
		}
		if f.Chosen {
			fmt.Fprintf(w, "yolk: %s port %d of the guest is %s\n", f.Proto, f.Guest, f.Host)
		}
	}
	c.Forwards = v.forwards
	if err := c.GDB.Pick(); err != nil {
		return c, fmt.Errorf("no free port for -gdb: %w", err)
	}
	if c.GDB.Wide() {
		fmt.Fprintf(w, "yolk: -gdb %s: whoever reaches this address controls the VM, and what QEMU can do here\n", c.GDB)
	}
	if v.quiet {
		w = io.Discard
	}
	c.Confine(w)
	return c, nil
}

// bootLine writes the words of the configuration.
func (v *vmFlags) bootLine(name string, args []string, tty bool) string {
	var l bootline.Line
	l.Add("arg0", name)
	for _, a := range args {
		l.Add("arg", a)
	}
	for i, d := range v.disks {
		if key, value := d.Word(i); key != "" {
			l.Add(key, value)
		}
	}
	for i, f := range v.folders {
		l.Add("mount", f.Word(i))
	}
	if v.cwd != "" {
		l.Add("cwd", v.cwd)
	}
	if host := cmp.Or(v.hostname, hostnameOf(v.name)); host != "" {
		l.Add("hostname", host)
	}
	if w := v.ip.Word(); w != "" {
		l.Add("ip", w)
	}
	if v.strict {
		l.Add("yolk.wx", "strict")
	}
	env := v.env
	if tty {
		l.Add("yolk.tty", "1")
		if term := os.Getenv("TERM"); term != "" {
			env = append([]string{"TERM=" + term}, env...)
		}
	}
	if v.core != "" { // as on Linux, a Go program dumps core only with GOTRACEBACK=crash
		env = append([]string{"GOTRACEBACK=crash"}, env...)
	}
	for _, kv := range lastWins(env) {
		name, value, _ := strings.Cut(kv, "=")
		l.Add("env."+name, value)
	}
	return l.String()
}

// lastWins keeps the last value of each variable: a Go program uses the first of several.
func lastWins(env []string) []string {
	last := map[string]int{}
	for i, kv := range env {
		name, _, _ := strings.Cut(kv, "=")
		last[name] = i
	}
	var out []string
	for i, kv := range env {
		if name, _, _ := strings.Cut(kv, "="); last[name] == i {
			out = append(out, kv)
		}
	}
	return out
}
