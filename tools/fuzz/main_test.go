package main

import (
	"slices"
	"testing"
)

// Every target runs a fixed number of executions.
func TestEveryTarget(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: builds the tests of every package with targets once more")
	}
	t.Chdir("../..")
	if err := run(t.Context(), 500, "", false); err != nil {
		t.Error(err)
	}
}

func TestFind(t *testing.T) {
	t.Chdir("../..")
	targets, err := find()
	if err != nil || !slices.Contains(targets, target{"boot", "FuzzCutConfig"}) || !slices.Contains(targets, target{"kernel/fs/p9fs", "FuzzServer"}) {
		t.Errorf("%v, %v; want boot's and 9P's targets, too", targets, err)
	}
}
