//go:build yolk

package main

func init() { taken = append(taken, "yolk.go") }
