// Package mounts serves the words of the command line that mount the host's
// folders and disks: root=TAG[:ro] and mount=TAG:/path[:ro]. It is linked with
// either of them, and has nothing to initialise.
//
// Start reading at Serve.
package mounts

import (
	"strings"

	"github.com/yolk-unikernel/yolk/runtime/wiring"
)

// Mounter mounts what the host offers under a tag on path. found says whether
// there is any such thing; why tells what is wrong with it, or is "".
type Mounter func(tag, path string, readOnly bool) (found bool, why string)

// Disk is the one of disks, in a program that has them.
var Disk Mounter

// Serve serves the root, and then what is mounted in it, in the words' order.
// folder may be nil. What the program was promised and does not get ends it: it
// would take its absence for an empty folder.
func Serve(words []string, folder Mounter) {
	var mounters []Mounter
	for _, m := range [...]Mounter{Disk, folder} {
		if m != nil {
			mounters = append(mounters, m)
		}
	}
	serveRoot(mounters, words)
	for _, w := range words {
		if spec, ok := strings.CutPrefix(w, "mount="); ok {
			serve(mounters, spec)
		}
	}
}

// serveRoot serves root=TAG[:ro], and the word ro beside it, which has the same
// meaning (Linux's kernel-parameters). The last one counts.
func serveRoot(mounters []Mounter, words []string) {
	tag, suffix := "", ""
	for _, w := range words {
		if spec, ok := strings.CutPrefix(w, "root="); ok {
			tag = spec
		} else if w == "ro" {
			suffix = ":ro"
		}
	}
	if tag != "" {
		tag, ro := strings.CutSuffix(tag, ":ro")
		if ro {
			suffix = ":ro"
		}
		if strings.Contains(tag, ":") {
			refuse(tag, "/", "the form is root=TAG[:ro]")
		}
		serve(mounters, tag+":/"+suffix)
	}
}

// serve serves one word, or ends the program.
func serve(mounters []Mounter, spec string) {
	tag, path, _ := strings.Cut(spec, ":")
	path, readOnly := strings.CutSuffix(path, ":ro")
	why := "this is no absolute path; the form is mount=TAG:/path[:ro]"
	if path != "" && path[0] == '/' {
		why = try(mounters, tag, path, readOnly)
	}
	if why != "" {
		refuse(tag, path, why)
	}
}

// refuse ends the program, which would start without what it was promised.
func refuse(tag, path, why string) {
	wiring.Kernel.Log("mounting " + tag + " on " + path + ": " + why)
	wiring.Exit(1)
}

func try(mounters []Mounter, tag, path string, readOnly bool) (why string) {
	for _, m := range mounters {
		if found, why := m(tag, path, readOnly); found {
			return why
		}
	}
	if Disk == nil && (path == "/" || strings.HasPrefix(tag, "disk")) {
		return "this image is built without disks; build it with yolk build -disk, or with go build -tags yolkdisk"
	}
	return "the machine has no device of this tag; yolk run -v DIR:" + path + " adds a folder, as QEMU's -device virtio-9p-…,mount_tag=" +
		tag + " does, and yolk run -disk FILE:" + path + " a disk, as -device virtio-blk-…,serial=" + tag
}
