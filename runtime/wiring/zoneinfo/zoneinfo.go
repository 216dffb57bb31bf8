// Package zoneinfo holds the time zone database of the Go distribution that
// built the program (lib/time/zoneinfo.zip, a zip file without compression).
// Package time finds it through a linkname: see time/tamago.go.
package zoneinfo

import (
	"syscall"
	_ "unsafe" // for linkname
)

// Records of a zip file (APPNOTE.TXT 6.3.10, §4.3.7, §4.3.12, §4.3.16).
const (
	localSize, localMagic     = 30, 0x04034b50
	centralSize, centralMagic = 46, 0x02014b50
	endSize, endMagic         = 22, 0x06054b50
)

func u16(at int) int { return int(archive[at]) | int(archive[at+1])<<8 }
func u32(at int) int { return u16(at) | u16(at+2)<<16 }

// Load returns the data of a zone such as "Europe/Rome", or ENOENT.
//
//go:linkname Load time.embeddedZone
func Load(name string) (string, error) {
	end := len(archive) - endSize
	if end < 0 || u32(end) != endMagic {
		return "", syscall.EINVAL
	}
	at := u32(end + 16)
	for range u16(end + 10) {
		if u32(at) != centralMagic {
			return "", syscall.EINVAL
		}
		nameLen := u16(at + 28)
		if archive[at+centralSize:at+centralSize+nameLen] == name {
			size, local := u32(at+24), u32(at+42)
			if u32(local) != localMagic || u16(at+10) != 0 {
				return "", syscall.EINVAL // compressed
			}
			data := local + localSize + u16(local+26) + u16(local+28)
			return archive[data : data+size], nil
		}
		at += centralSize + nameLen + u16(at+30) + u16(at+32)
	}
	return "", syscall.ENOENT
}
