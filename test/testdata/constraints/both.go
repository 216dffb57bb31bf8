//go:build linux && !tamago

package main

func init() { taken = append(taken, "both.go") }
