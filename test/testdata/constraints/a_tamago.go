package main

func init() { taken = append(taken, "a_tamago.go") }
