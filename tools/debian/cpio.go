package debian

import (
	"bytes"
	"fmt"
)

// cpio builds an initramfs in the "newc" format: cpio(5), and the kernel's
// buffer-format.rst.
type cpio struct {
	buf bytes.Buffer
	ino uint32
}

// File type bits of a mode: inode(7).
const (
	modeDirectory = 0o040000
	modeCharacter = 0o020000
	modeRegular   = 0o100000
)

func (c *cpio) directory(name string)                   { c.entry(name, modeDirectory|0o755, 0, 0, nil) }
func (c *cpio) file(name string, perm uint32, b []byte) { c.entry(name, modeRegular|perm, 0, 0, b) }
func (c *cpio) device(name string, perm, maj, min uint32) {
	c.entry(name, modeCharacter|perm, maj, min, nil)
}

// entry adds 13 numbers of eight hexadecimal digits, the name and the data; name and data are
// padded to four bytes.
func (c *cpio) entry(name string, mode, major, minor uint32, data []byte) {
	c.ino++
	fmt.Fprintf(&c.buf, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00",
		c.ino, mode, 0, 0, 1, 0, len(data), 0, 0, major, minor, len(name)+1, 0, name)
	c.pad()
	c.buf.Write(data)
	c.pad()
}

func (c *cpio) pad() { c.buf.Write(make([]byte, -c.buf.Len()&3)) }

// bytes completes the archive.
func (c *cpio) bytes() []byte {
	c.entry("TRAILER!!!", 0, 0, 0, nil)
	return c.buf.Bytes()
}
