//go:build yolk

package balloon

// init starts what runs beside the program; on a host, tests do.
func init() { go start() }
