package main

func init() { taken = append(taken, "a_linux_amd64.go") }
