//go:build !yolk

package wiring

func init() { OnHostStart(func() { Resumed = Functions{} }) }
