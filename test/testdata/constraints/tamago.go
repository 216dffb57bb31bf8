//go:build tamago

package main

func init() { taken = append(taken, "tamago.go") }
