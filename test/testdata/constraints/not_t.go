//go:build !tamago

package main

func init() { taken = append(taken, "not_t.go") }
