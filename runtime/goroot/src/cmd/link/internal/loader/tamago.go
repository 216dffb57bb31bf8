//go:build yolktools

package loader

import "slices"

// OutsideImports reports whether a package outside of the standard library imports one of paths.
func (l *Loader) OutsideImports(paths ...string) bool {
	for _, r := range l.objs {
		if r == nil || r.Reader == nil || r.Std() { // the first are the linker's own
			continue
		}
		for _, p := range r.Autolib() {
			if slices.Contains(paths, p.Pkg) {
				return true
			}
		}
	}
	return false
}

// OutsideRefers reports whether a package outside of the standard library refers to one of symbols.
func (l *Loader) OutsideRefers(symbols ...string) bool {
	for _, r := range l.objs {
		if r == nil || r.Reader == nil || r.Std() {
			continue
		}
		for i := range r.NRefName() {
			if slices.Contains(symbols, r.RefName(i).Name(r.Reader)) {
				return true
			}
		}
	}
	return false
}
