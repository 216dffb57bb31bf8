//go:build tamago

package runtime

// The default of GOMAXPROCS is the number of CPUs: there are no control groups that limit them
// (cgroup_linux.go, which is not compiled).

func defaultGOMAXPROCSInit()          {}
func defaultGOMAXPROCSUpdateGODEBUG() {}

func defaultGOMAXPROCS(ncpu int32) int32 {
	if ncpu <= 0 {
		return getCPUCount()
	}
	return ncpu
}
