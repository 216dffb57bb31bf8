package main

func init() { taken = append(taken, "a_windows.go") }
