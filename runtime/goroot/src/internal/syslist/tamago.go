//go:build tamago || !tamago

package syslist

// TamagoScope returns the GOOS and the build tags by which the files of the package in folder dir are
// chosen, if goos and tags are those of the build.
//
// For GOOS=tamago, linux, unix and yolk are true everywhere, and tamago in GOROOT alone: other
// modules have files of that name for the TamaGo framework, beside those for Linux. The
// tag tamago (-tags) asks for them. Inside reports whether a folder is below another, as
// Context.HasSubdir of package go/build.
func TamagoScope(goos string, tags []string, goroot, dir string, inside func(root, dir string) (string, bool)) (string, []string) {
	if goos != "tamago" {
		return goos, tags
	}
	tags = append(tags[:len(tags):len(tags)], "yolk")
	if _, ok := inside(goroot+"/src", dir); ok && goroot != "" {
		return goos, append(tags, "linux", "unix")
	}
	return "linux", tags
}
