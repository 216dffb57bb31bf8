//go:build !tamago

package wiring

func init() { OnHostStart(func() { Resumed = Functions{} }) }
