//go:build yolktools

package modindex

import (
	"cmd/go/internal/cfg"
	"cmd/go/internal/imports"
	"internal/syslist"
)

// tamagoScope makes ctxt the one that chooses the files of the package in folder dir.
func (ctxt *Context) tamagoScope(dir string) {
	ctxt.GOOS, ctxt.BuildTags = syslist.TamagoScope(ctxt.GOOS, ctxt.BuildTags, cfg.GOROOT, dir, imports.Inside)
}
