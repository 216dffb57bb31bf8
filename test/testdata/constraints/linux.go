//go:build linux

package main

func init() { taken = append(taken, "linux.go") }
