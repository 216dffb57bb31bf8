//go:build tamago

package yolk

import (
	"strings"
	"unsafe"
)

// Mounter mounts what the host offers under a tag on path. found says whether
// there is any such thing; why tells what is wrong with it, or is "".
type Mounter func(tag, path string, readOnly bool) (found bool, why string)

// Set by the linker (cmd/link/internal/ld/tamago.go): the address of the code that
// mounts the host's folders (package folders), and one that is not 0 if package
// disks is linked, which calls Mount when it has initialised.
var folders, disks uintptr

// Mount serves the words root=TAG[:ro] and then mount=TAG:/path[:ro], in their
// order, and enters the working directory. disk, if not nil, mounts disks. A program that names no
// files has no use for either, and no code to mount them. Otherwise what it was
// promised and does not get ends it: it would take its absence for an empty
// folder.
func Mount(disk Mounter) {
	words := commandLineWords()
	var mounters []Mounter
	if disk != nil {
		mounters = append(mounters, disk)
	}
	if isLinked(folders) {
		code := unsafe.Pointer(&folders) // a func is a pointer to its code's address
		mounters = append(mounters, *(*Mounter)(unsafe.Pointer(&code)))
	}
	if len(mounters) > 0 {
		mountRoot(mounters, words)
		for _, w := range words {
			if spec, ok := strings.CutPrefix(w, "mount="); ok {
				mountOne(mounters, spec)
			}
		}
	}
	changeDirectory(words)
}

// mountRoot serves root=TAG[:ro], and the word ro beside it, which has the same
// meaning (Linux's kernel-parameters). The last one counts.
func mountRoot(mounters []Mounter, words []string) {
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
		mountOne(mounters, tag+":/"+suffix)
	}
}

// mountOne serves one word, or ends the program.
func mountOne(mounters []Mounter, spec string) {
	tag, path, _ := strings.Cut(spec, ":")
	path, readOnly := strings.CutSuffix(path, ":ro")
	why := "this is no absolute path; the form is mount=TAG:/path[:ro]"
	if path != "" && path[0] == '/' {
		why = tryMount(mounters, tag, path, readOnly)
	}
	if why != "" {
		Kernel.Log("mounting " + tag + " on " + path + ": " + why)
		Exit(1)
	}
}

func tryMount(mounters []Mounter, tag, path string, readOnly bool) (why string) {
	for _, m := range mounters {
		if found, why := m(tag, path, readOnly); found {
			return why
		}
	}
	if disks == 0 && (path == "/" || strings.HasPrefix(tag, "disk")) {
		return "this image is built without disks; build it with yolk build -disk, or with go build -tags yolkdisk"
	}
	return "the machine has no device of this tag; yolk run -v DIR:" + path + " adds a folder, as QEMU's -device virtio-9p-…,mount_tag=" +
		tag + " does, and yolk run -disk FILE:" + path + " a disk, as -device virtio-blk-…,serial=" + tag
}
