// Package inner has a golden file.
package inner

// Greeting greets.
func Greeting(whom string) string { return "good morning, " + whom + "\n" }
