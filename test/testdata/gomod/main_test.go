package main

import (
	"os"
	"testing"
)

func TestDouble(t *testing.T) {
	if got := Double(21); got != 42 {
		t.Errorf("Double(21) = %d; want 42", got)
	}
}

func TestTestdata(t *testing.T) {
	b, err := os.ReadFile("testdata/greeting.txt")
	if err != nil || string(b) != "good morning\n" {
		t.Errorf("testdata: %q, %v", b, err)
	}
	if err := os.WriteFile("written.txt", []byte("x"), 0o644); err != nil {
		t.Error(err)
	}
}

// TestWanted fails only if a test asks for it.
func TestWanted(t *testing.T) {
	if os.Getenv("WANT_FAILURE") != "" {
		t.Error("as wanted")
	}
}

func BenchmarkDouble(b *testing.B) {
	for b.Loop() {
		Double(21)
	}
}
