//go:build tamago

package time

import _ "unsafe" // for linkname

// embeddedZone returns the data of a time zone from the image. It is in
// package zoneinfo (runtime/wiring), which only this reference links: programs without
// LoadLocation do not carry 400 KB of zones.
//
//go:linkname embeddedZone
func embeddedZone(name string) (string, error)

// useEmbeddedZones makes LoadLocation fall back to the image's zones when no
// file has them, as importing time/tzdata would.
func useEmbeddedZones() {
	if loadFromEmbeddedTZData == nil {
		loadFromEmbeddedTZData = embeddedZone
	}
}
