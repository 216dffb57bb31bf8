package main

import (
	"os/exec"
	"testing"
)

// The lists parse, and a difference counts unless its cause is listed.
func TestReport(t *testing.T) {
	if n := len(parseSuites(suitesText)); n < 6 {
		t.Errorf("suites.txt has %d suites", n)
	}
	known := parseDifferences("# no such thing\nm/p TestA*\n")
	for _, d := range parseDifferences(differencesText) {
		if d.cause == "" {
			t.Errorf("%s %v has no cause", d.pkg, d.test)
		}
	}
	linux := results{outcome: map[string]string{"TestA/x": "pass", "TestB": "pass", "TestC": "skip", "TestD": "pass"}}
	vm := results{outcome: map[string]string{"TestA/x": "fail", "TestB": "pass", "TestC": "fail"}}
	if n := report("m/p", linux, vm, known, false); n != 2 { // TestC and TestD
		t.Errorf("%d differences without a cause; want 2", n)
	}
	if n := report("m/p", results{}, results{}, known, false); n != 1 {
		t.Errorf("no tests at all: %d; want 1", n)
	}
}

func TestParseResults(t *testing.T) {
	lines := `{"Action":"output","Test":"TestA","Output":"hi\n"}
{"Action":"pass","Test":"TestA/seed_12"}
no JSON
{"Action":"pass","Package":"m/p"}
{"Action":"fail","Test":"TestA"}`
	r := parseResults(exec.Command("echo", lines))
	if len(r.outcome) != 2 || r.outcome["TestA"] != "fail" || r.outcome["TestA/seed"] != "pass" || r.output["TestA"] != "hi\n" {
		t.Errorf("results %v", r)
	}
}
