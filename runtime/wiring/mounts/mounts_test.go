package mounts

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/yolk-unikernel/yolk/runtime/wiring"
	"github.com/yolk-unikernel/yolk/runtime/wiring/wiringtest"
)

// host has folders or disks under some tags, and notes what is mounted.
type host struct {
	tags  []string
	fails map[string]string // why, by tag
	log   *[]string
}

func (h host) mount(tag, path string, readOnly bool) (found bool, why string) {
	if !slices.Contains(h.tags, tag) {
		return false, ""
	}
	if why := h.fails[tag]; why != "" {
		return true, why
	}
	*h.log = append(*h.log, tag+" "+path+" "+strconv.FormatBool(readOnly))
	return true, ""
}

const (
	noPath   = ": this is no absolute path; the form is mount=TAG:/path[:ro]\n"
	noDisks  = ": this image is built without disks; build it with yolk build -disk, or with go build -tags yolkdisk\n"
	noDevice = ": the machine has no device of this tag; yolk run -v DIR:"
)

// The root comes first, wherever its word is, then the mounts in the words' order. The
// first that cannot be had ends the machine with exit status 1 and says why.
func TestServe(t *testing.T) {
	for _, tt := range []struct {
		name  string
		words string
		want  []string // tag, path, read-only
		log   string   // how the last line of the console ends; "": goes well
	}{
		{"nothing", "console=ttyS0 mount root", nil, ""},
		{"a folder", "mount=src:/src", []string{"src /src false"}, ""},
		{"read-only", "mount=src:/src:ro", []string{"src /src true"}, ""},
		{"order", "mount=src:/b mount=data:/a mount=src:/b/c", []string{"src /b false", "data /a false", "src /b/c false"}, ""},
		{"the root first", "mount=src:/src root=data", []string{"data / false", "src /src false"}, ""},
		{"a read-only root", "root=data:ro", []string{"data / true"}, ""},
		{"ro of Linux", "root=data ro", []string{"data / true"}, ""},
		{"ro before it", "ro root=data", []string{"data / true"}, ""},
		{"ro twice", "ro root=data:ro", []string{"data / true"}, ""},
		{"ro is not for mounts", "ro mount=src:/src", []string{"src /src false"}, ""},
		{"rw", "rw root=data", []string{"data / false"}, ""},
		{"the last root counts", "root=src root=data", []string{"data / false"}, ""},
		{"no root", "root=", nil, ""},
		{"the root by mount=", "mount=data:/", []string{"data / false"}, ""},
		{"a blank in a path", `"mount=src:/my files:ro"`, []string{"src /my files true"}, ""},
		{"a colon in a path", "mount=src:/a:b", []string{"src /a:b false"}, ""},
		{"disks before folders", "mount=both:/x", []string{"disk both /x false"}, ""},

		{"relative", "mount=src:src", nil, "mounting src on src" + noPath},
		{"no path", "mount=src", nil, "mounting src on " + noPath},
		{"an empty path", "mount=src:", nil, "mounting src on " + noPath},
		{"ro and no path", "mount=src:ro", nil, "mounting src on ro" + noPath},
		{"ro and an empty path", "mount=src::ro", nil, "mounting src on " + noPath},
		{"empty", "mount=", nil, "mounting  on " + noPath},
		{"a root with a path", "root=data:/x", nil, "mounting data:/x on /: the form is root=TAG[:ro]\n"},
		{"a root with a path and ro", "root=data:/:ro", nil, "mounting data:/ on /: the form is root=TAG[:ro]\n"},
		{"fails", "mount=broken:/x", nil, "mounting broken on /x: it is broken\n"},
		{"unknown", "mount=scr:/src", nil, "mounting scr on /src" + noDevice + "/src adds a folder, as QEMU's -device virtio-9p-…,mount_tag=scr does, and yolk run -disk FILE:/src a disk, as -device virtio-blk-…,serial=scr\n"},
		{"none after it", "mount=scr:/src mount=src:/src", nil, "mounting scr on /src" + noDevice},
		{"those before it", "mount=src:/src mount=scr:/src", []string{"src /src false"}, "mounting scr on /src" + noDevice},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			folders := host{tags: []string{"src", "broken", "both"}, fails: map[string]string{"broken": "it is broken"}, log: &got}
			disks := host{tags: []string{"data", "both"}, log: &got}
			Disk = disks.mount
			if tt.name == "disks before folders" {
				Disk = func(tag, path string, ro bool) (bool, string) {
					found, why := disks.mount(tag, path, ro)
					got[0] = "disk " + got[0]
					return found, why
				}
			}
			t.Cleanup(func() { Disk = nil })
			check(t, tt.words, folders.mount, &got, tt.want, tt.log)
		})
	}
}

// check serves words and compares what was mounted and said.
func check(t *testing.T, words string, folder Mounter, got *[]string, want []string, log string) {
	t.Helper()
	m := wiringtest.New(t)
	m.Start(words)
	ended := m.Run(func() { Serve(wiring.AllWords(), folder) })
	out := m.Output()
	if !slices.Equal(*got, want) || ended != (log != "") {
		t.Errorf("%s: mounted %q, ended %v; want %q, %v", words, *got, ended, want, log != "")
	}
	if exits, _ := m.Ends(); ended != slices.Equal(exits, []int{1}) {
		t.Errorf("%s: exit statuses %v; want 1 if it fails", words, exits)
	}
	if log == "" && out != "" || !strings.Contains(out, log) || strings.Count(out, "\n") > 1 {
		t.Errorf("%s: the console says %q; want one line with %q", words, out, log)
	}
}

// A program that is built without disks says so, where a word is about one.
func TestServeWithoutDisks(t *testing.T) {
	for words, log := range map[string]string{
		"root=disk0":           "mounting disk0 on /" + noDisks,
		"root=data":            "mounting data on /" + noDisks,
		"mount=disk0:/data":    "mounting disk0 on /data" + noDisks,
		"mount=diskette:/data": "mounting diskette on /data" + noDisks,
		"mount=data:/data":     "mounting data on /data" + noDevice,
	} {
		var got []string
		check(t, words, host{log: &got}.mount, &got, nil, log)
	}
	check(t, "mount=src:/src", nil, new([]string), nil, "mounting src on /src"+noDevice)
}
