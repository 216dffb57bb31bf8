//go:build !amd64

package debian

// TSCWords returns "": on other hosts TCG's time stamp counter is not the host's, and the guest
// must calibrate it.
func TSCWords() string { return "" }
