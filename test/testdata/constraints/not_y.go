//go:build !yolk

package main

func init() { taken = append(taken, "not_y.go") }
