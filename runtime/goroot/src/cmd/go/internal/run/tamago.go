//go:build yolktools

package run

import "cmd/go/internal/work"

func init() { work.TamagoTrimpath(CmdRun) } // run.go's comes first
