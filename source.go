// Package yolk holds the source of the machine that a program becomes: what
// the toolchain places in its copy of GOROOT. The command that uses it is
// ./tools/yolk; docs/architecture.md says what the folders are.
package yolk

import "embed"

// Source is the port of Go's runtime (runtime), the boot protocols (boot), the
// kernel, the drivers and the netstack, with the go.mod and go.sum that pin
// what they import.
//
//go:embed go.mod go.sum runtime boot kernel drivers netstack
var Source embed.FS
