package main

func init() { taken = append(taken, "a_tamago_amd64.go") }
