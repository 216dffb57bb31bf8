package wiring

import (
	"syscall"
	"unsafe"
)

// zones is set by the linker, as folders: to the address of package zoneinfo's Load, if the program
// carries the time zones.
var zones uintptr

// zoneFolders are where package time looks for the zone that the variable TZ names.
var zoneFolders = [...]string{"/usr/share/zoneinfo/", "/usr/share/lib/zoneinfo/", "/usr/lib/locale/TZ/", "/etc/zoneinfo/"}

// provideZone gives the program the file of the time zone that its variable TZ names (tzset(3)), from
// the image. If there is none it says so, because package time does not: local time is then UTC.
func provideZone() {
	name := zoneOf(runtimeEnviron())
	if name == "" {
		return
	}
	for _, dir := range zoneFolders {
		if exists(dir + name) {
			return
		}
	}
	if isLinked(zones) {
		code := unsafe.Pointer(&zones) // a func is a pointer to its code's address
		load := *(*func(string) (string, error))(unsafe.Pointer(&code))
		if data, err := load(name); err == nil {
			Kernel.SetFile(zoneFolders[0]+name, func() []byte { return []byte(data) })
			return
		}
	}
	Kernel.Log("TZ=" + name + ": no such time zone in this image, local time is UTC; give it the file " + zoneFolders[0] + name)
}

// zoneOf returns the time zone of the variable TZ, "" if that is not set, is UTC, or the path of a file.
func zoneOf(env []string) string {
	for _, v := range env {
		if len(v) < 3 || v[:3] != "TZ=" {
			continue
		}
		name := v[3:]
		if name != "" && name[0] == ':' {
			name = name[1:]
		}
		if name == "UTC" || name != "" && name[0] == '/' {
			return ""
		}
		return name
	}
	return ""
}

func exists(path string) bool {
	p := append([]byte(path), 0)
	_, _, errno := dispatch(syscall.SYS_ACCESS, [6]uintptr{uintptr(unsafe.Pointer(&p[0]))}, [6]unsafe.Pointer{unsafe.Pointer(&p[0])})
	return errno == 0
}
