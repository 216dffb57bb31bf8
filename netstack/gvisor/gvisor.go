// Package gvisor has the changes that yolk makes to its copy of gVisor (gvisor.dev/gvisor,
// pinned by go.mod), which the toolchain places in GOROOT:
//
//   - edits.txt: edits of single lines, in the format of runtime/goroot/edits.txt, each with
//     its reason. An edit whose line is not found stops the build of the toolchain, so no
//     edit is lost with a new release of gVisor.
//   - add/pkg/X: files added to gVisor's package pkg/X.
//   - pkg/X: a package that replaces gVisor's pkg/X. It has the part of the original's API
//     that the linked packages use.
//
// The originals of pkg/log, pkg/refs and pkg/rand are made for a daemon on Linux: log formats,
// leak checks with stack traces, getrandom through golang.org/x/sys. In an image they brought in
// regexp, the Unicode tables, encoding/json and x/sys/unix: 300 KB and, at each start under
// emulation, 1,200 translated blocks.
//
// TestEditedStack in tools/internal/toolchain runs netstack's tests on the
// edited copy; docs/network.md has the measurements.
package gvisor
