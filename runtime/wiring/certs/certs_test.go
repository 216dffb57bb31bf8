package certs

import (
	"crypto/x509"
	"encoding/pem"
	"testing"

	"golang.org/x/crypto/x509roots/fallback/bundle"

	"github.com/yolk-unikernel/yolk/runtime/wiring/wiringtest"
)

// The file holds each root that can be trusted for every certificate, once, and no other.
func TestAuthorities(t *testing.T) {
	text := authorities()
	got := map[string]bool{}
	for len(text) > 0 {
		block, rest := pem.Decode(text)
		if block == nil || block.Type != "CERTIFICATE" {
			t.Fatalf("%q is no certificate in PEM", text[:min(len(text), 40)])
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		if !cert.IsCA || got[string(block.Bytes)] {
			t.Errorf("%v: a certificate authority %v, twice %v", cert.Subject, cert.IsCA, got[string(block.Bytes)])
		}
		got[string(block.Bytes)] = true
		text = rest
	}
	all, constrained := 0, 0
	for root := range bundle.Roots() {
		all++
		if root.Constraint != nil {
			constrained++
		}
		if has := got[string(root.Certificate)]; has != (root.Constraint == nil) {
			t.Errorf("a root with constraint %v is in the file: %v", root.Constraint != nil, has)
		}
	}
	if len(got) != all-constrained || len(got) < 100 || constrained == 0 {
		t.Errorf("%d certificates of %d roots, %d constrained; want all others", len(got), all, constrained)
	}
}

// crypto/x509 finds them where it looks first.
func TestFile(t *testing.T) {
	m := wiringtest.New(t)
	m.Start()
	start()
	pool := x509.NewCertPool()
	if text, e := m.ReadFile("/etc/ssl/certs/ca-certificates.crt"); e != 0 || !pool.AppendCertsFromPEM([]byte(text)) {
		t.Errorf("%d bytes, %v; want certificates", len(text), e)
	}
}
