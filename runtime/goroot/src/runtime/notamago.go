//go:build !tamago

package runtime

import "internal/stringslite"

func isSystemFunc(name string) bool { return stringslite.HasPrefix(name, "runtime.") }
