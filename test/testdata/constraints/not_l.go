//go:build !linux

package main

func init() { taken = append(taken, "not_l.go") }
