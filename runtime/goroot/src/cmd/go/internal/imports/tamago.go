//go:build yolktools

package imports

import (
	"cmd/go/internal/cfg"
	"cmd/go/internal/search"
	"internal/syslist"
	"maps"
)

// Inside reports whether dir is root or below it; symbolic links may lead there.
func Inside(root, dir string) (rel string, ok bool) {
	rel = search.InDir(dir, root)
	return rel, rel != ""
}

// TamagoTags returns those tags that choose the files in folder dir: see syslist.TamagoScope. Tags
// are Tags or AnyTags, which it leaves as they are.
func TamagoTags(dir string, tags map[string]bool) map[string]bool {
	goos := cfg.BuildContext.GOOS
	scoped, added := syslist.TamagoScope(goos, cfg.BuildContext.BuildTags, cfg.GOROOT, dir, Inside)
	if goos != "tamago" || tags["*"] {
		return tags
	}
	tags = maps.Clone(tags)
	delete(tags, goos)
	tags[scoped], tags["unix"] = true, true
	for _, tag := range added {
		tags[tag] = true
	}
	return tags
}
