//go:build !tamago

package wiring

func init() { OnHostStart(func() { resumed.list = nil }) }
