//go:build tamago

package signal

// Waiting reports whether the goroutine that hands signals to channels waits for one, as in the
// TamaGo framework's Go. Package runtime defines it.
func Waiting() bool
