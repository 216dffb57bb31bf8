//go:build yolk

package power

// init starts what runs beside the program; on a host, tests do.
func init() { go start() }
