// Package certs provides the certificate authorities that TLS clients trust,
// Mozilla's list, as the file where crypto/x509 looks first. It is linked into
// programs that link crypto/x509; nothing is decoded before the file is read.
package certs

import (
	"encoding/pem"

	"github.com/yolk-unikernel/yolk/runtime/wiring"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

func init() { start() }

func start() { wiring.Kernel.SetFile("/etc/ssl/certs/ca-certificates.crt", authorities) }

// authorities returns the list in PEM. Roots with a further constraint (valid
// only for certificates issued before a date) are left out: a file cannot say
// that.
func authorities() []byte {
	var text []byte
	for root := range bundle.Roots() {
		if root.Constraint == nil {
			text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate})...)
		}
	}
	return text
}
