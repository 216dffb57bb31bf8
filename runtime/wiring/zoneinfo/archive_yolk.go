//go:build yolk

package zoneinfo

import _ "embed"

// archive is lib/time/zoneinfo.zip, which the toolchain puts here.
//
//go:embed zoneinfo.zip
var archive string
