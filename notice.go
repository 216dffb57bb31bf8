package yolk

import _ "embed"

// Notice has the licenses of all that an image can carry of the machine: this module, the modules
// that it links, and Go. go run ./tools/notice writes it.
//
//go:embed NOTICE
var Notice string
