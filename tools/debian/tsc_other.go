//go:build !amd64

package debian

// TSCWords: on other hosts TCG's time stamp counter is not the host's, and the
// guest must find out by itself.
func TSCWords() string { return "" }
