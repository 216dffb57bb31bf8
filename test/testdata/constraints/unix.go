//go:build unix

package main

func init() { taken = append(taken, "unix.go") }
