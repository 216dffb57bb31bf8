//go:build !tamago

package time

func useEmbeddedZones() {}
