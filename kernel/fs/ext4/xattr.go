package ext4

import (
	"slices"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/yolk-unikernel/yolk/kernel/fs/ext4/jbd2"
)

// Extended attributes (ext4 docs: "Extended Attributes") lie after the inode's fields, and
// in one block of their own. Entries grow from the start, values from the end down.
const (
	attrMagic     = 0xea020000
	attrHead      = 32 // size of the header of a block; in an inode it is 4
	attrEntryHead = 16
	attrValueMax  = 65536
)

// attrPrefixes are the prefixes that an entry's index stands for. An index for one exact
// name comes before the index for its prefix.
var attrPrefixes = []struct {
	index  uint8
	prefix string
}{
	{1, "user."}, {2, "system.posix_acl_access"}, {3, "system.posix_acl_default"}, {4, "trusted."},
	{6, "security."}, {8, "system.richacl"}, {7, "system."},
}

type attribute struct {
	index uint8
	name  string // without the prefix
	value []byte
	block bool // it is in the block, not in the inode
}

func splitAttr(name string) (index uint8, rest string, e syscall.Errno) {
	if len(name) > nameMax {
		return 0, "", syscall.ERANGE
	}
	for _, p := range attrPrefixes {
		rest, ok := strings.CutPrefix(name, p.prefix)
		if !ok {
			continue
		}
		if strings.HasSuffix(p.prefix, ".") == (rest == "") {
			if rest == "" {
				return 0, "", syscall.EINVAL
			}
			continue
		}
		return p.index, rest, 0
	}
	return 0, "", syscall.EOPNOTSUPP
}

// fullName is the name with its prefix; ok is false for an index without a prefix.
func (a *attribute) fullName() (string, bool) {
	for _, p := range attrPrefixes {
		if p.index == a.index {
			return p.prefix + a.name, true
		}
	}
	return "", false
}

// attrSpace is the part of i.raw for attributes, including the magic number; empty if the
// inode is too small.
func (i *Inode) attrSpace() []byte {
	start := 128 + i.extraSize
	if len(i.raw) == 128 || i.extraSize == 0 || len(i.raw)-start < 4+attrEntryHead {
		return nil
	}
	return i.raw[start:]
}

// attributes reads all attributes. Caller holds i.mu.
func (i *Inode) attributes() (list []attribute, e syscall.Errno) {
	if s := i.attrSpace(); s != nil && le.Uint32(s) == attrMagic {
		if list, e = i.parseAttrs(nil, s[4:], s[4:], false); e != 0 {
			return nil, e
		}
	}
	if i.acl == 0 {
		return list, 0
	}
	b, e := i.attrBlock()
	if e != 0 {
		return nil, e
	}
	defer b.Put()
	return i.parseAttrs(list, b.Data[attrHead:], b.Data, true)
}

// attrBlock reads the block of attributes.
func (i *Inode) attrBlock() (*jbd2.Buffer, syscall.Errno) {
	fs := i.fs
	b, e := fs.j.Get(i.acl)
	if e != 0 {
		return nil, e
	}
	if atomic.LoadUint32(&b.Check)&checkedXattr == 0 {
		good := le.Uint32(b.Data) == attrMagic && le.Uint32(b.Data[8:]) == 1 && le.Uint32(b.Data[4:]) > 0
		if good && fs.metaCsum {
			good = attrSum(fs.seed, b.Block, b.Data) == le.Uint32(b.Data[16:])
		}
		if !good {
			b.Put()
			return nil, fs.corrupt("attribute block of inode", uint64(i.ino))
		}
		mark(b, checkedXattr)
	}
	return b, 0
}

func attrSum(seed uint32, block uint64, d []byte) uint32 {
	sum := crc32c64(seed, block)
	sum = crc32c(sum, d[:16])
	sum = crc32c(sum, []byte{0, 0, 0, 0})
	return crc32c(sum, d[20:])
}

func (fs *FS) sealAttrs(b *jbd2.Buffer) {
	if fs.metaCsum {
		le.PutUint32(b.Data[16:], attrSum(fs.seed, b.Block, b.Data))
	}
}

// parseAttrs decodes entries; values are offsets in base.
func (i *Inode) parseAttrs(list []attribute, d, base []byte, block bool) ([]attribute, syscall.Errno) {
	bad := func() ([]attribute, syscall.Errno) {
		return nil, i.fs.corrupt("extended attributes of inode", uint64(i.ino))
	}
	for {
		if len(d) < 4 {
			return bad()
		}
		if le.Uint32(d) == 0 {
			return list, 0
		}
		n := int(d[0])
		size := attrEntryHead + (n+3)&^3
		if size > len(d) {
			return bad()
		}
		off, length := int(le.Uint16(d[2:])), uint64(le.Uint32(d[8:]))
		if le.Uint32(d[4:]) != 0 || length > uint64(len(base)) || off > len(base)-int(length) {
			return bad()
		}
		list = append(list, attribute{d[1], string(d[attrEntryHead : attrEntryHead+n]), append([]byte(nil), base[off:off+int(length)]...), block})
		d = d[size:]
	}
}

func findAttr(list []attribute, index uint8, name string) int {
	return slices.IndexFunc(list, func(a attribute) bool { return a.index == index && a.name == name })
}

// GetXattr returns an attribute's value, for ACLs in the format of the disk.
// ENODATA, EOPNOTSUPP (prefix), EIO.
func (i *Inode) GetXattr(name string) ([]byte, syscall.Errno) {
	index, rest, e := splitAttr(name)
	if e != 0 {
		return nil, e
	}
	i.mu.RLock()
	defer i.mu.RUnlock()
	list, e := i.attributes()
	if e != 0 {
		return nil, e
	}
	k := findAttr(list, index, rest)
	if k < 0 {
		return nil, syscall.ENODATA
	}
	return append([]byte{}, list[k].value...), 0
}

// ListXattr returns the names of all attributes.
func (i *Inode) ListXattr() (names []string, e syscall.Errno) {
	i.mu.RLock()
	defer i.mu.RUnlock()
	list, e := i.attributes()
	for k := range list {
		if name, ok := list[k].fullName(); ok {
			names = append(names, name)
		}
	}
	return names, e
}

// Flags of SetXattr (setxattr(2)).
const (
	XattrCreate  = 1
	XattrReplace = 2
)

// SetXattr sets an attribute. EEXIST and ENODATA depend on flags. ENOSPC: the inode and
// one block are too small for all attributes.
func (i *Inode) SetXattr(name string, value []byte, flags int) syscall.Errno {
	if len(value) > attrValueMax {
		return syscall.E2BIG
	}
	return i.changeAttr(name, value, true, flags)
}

// RemoveXattr removes an attribute. ENODATA.
func (i *Inode) RemoveXattr(name string) syscall.Errno {
	return i.changeAttr(name, nil, false, XattrReplace)
}

func (i *Inode) changeAttr(name string, value []byte, set bool, flags int) syscall.Errno {
	index, rest, e := splitAttr(name)
	if e != 0 {
		return e
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.freed {
		return syscall.ESTALE
	}
	list, e := i.attributes()
	if e != 0 {
		return e
	}
	k := findAttr(list, index, rest)
	switch {
	case k >= 0 && flags&XattrCreate != 0:
		return syscall.EEXIST
	case k < 0 && flags&XattrReplace != 0:
		return syscall.ENODATA
	}
	if k >= 0 {
		list = slices.Delete(list, k, k+1)
	}
	if set {
		list = append(list, attribute{index, rest, value, false})
	}
	return i.storeAttrs(list)
}

// storeAttrs writes all attributes: as many as fit into the inode, the rest into the block.
// Caller holds i.mu.
func (i *Inode) storeAttrs(list []attribute) syscall.Errno {
	inner, outer, e := i.layoutAttrs(list)
	if e != 0 {
		return e
	}
	o, e := i.fs.begin(10, 1)
	if e != 0 {
		return e
	}
	return o.end(i.putAttrs(o, inner, outer))
}

// layoutAttrs builds both areas without changing anything; outer is nil if no block is
// needed.
func (i *Inode) layoutAttrs(list []attribute) (inner, outer []byte, e syscall.Errno) {
	inner = make([]byte, len(i.attrSpace()))
	var in, out []attribute
	// Attributes that were in the inode stay there if they fit.
	slices.SortStableFunc(list, func(a, b attribute) int {
		if a.block == b.block {
			return 0
		}
		if b.block {
			return -1
		}
		return 1
	})
	room := len(inner) - 4 - 4
	for _, a := range list {
		if n := a.space(); n <= room {
			room -= n
			in = append(in, a)
		} else {
			out = append(out, a)
		}
	}
	if len(in) > 0 {
		le.PutUint32(inner, attrMagic)
		fillAttrs(inner[4:], inner[4:], in, false)
	}
	if len(out) == 0 {
		return inner, nil, 0
	}
	room = i.fs.blockSize - attrHead - 4
	for _, a := range out {
		if room -= a.space(); room < 0 {
			return nil, nil, syscall.ENOSPC
		}
	}
	return inner, i.outerAttrs(out), 0
}

// outerAttrs fills a block: entries are sorted by index, length of the name, name.
func (i *Inode) outerAttrs(list []attribute) []byte {
	slices.SortFunc(list, func(a, b attribute) int {
		if a.index != b.index {
			return int(a.index) - int(b.index)
		}
		if len(a.name) != len(b.name) {
			return len(a.name) - len(b.name)
		}
		return strings.Compare(a.name, b.name)
	})
	d := make([]byte, i.fs.blockSize)
	le.PutUint32(d, attrMagic)
	le.PutUint32(d[4:], 1)
	le.PutUint32(d[8:], 1)
	le.PutUint32(d[12:], fillAttrs(d[attrHead:], d, list, true))
	return d
}

// space is the size of an attribute in bytes.
func (a *attribute) space() int {
	return attrEntryHead + (len(a.name)+3)&^3 + (len(a.value)+3)&^3
}

// fillAttrs writes entries to d and values to the end of base, and returns the hash of all
// (ext4_xattr_rehash). Entries in inodes have no hash.
func fillAttrs(d, base []byte, list []attribute, hashed bool) (sum uint32) {
	end := len(base)
	zero := false
	for _, a := range list {
		size := (len(a.value) + 3) &^ 3
		d[0], d[1] = uint8(len(a.name)), a.index
		le.PutUint32(d[8:], uint32(len(a.value)))
		copy(d[attrEntryHead:], a.name)
		if size > 0 {
			end -= size
			copy(base[end:], a.value)
			le.PutUint16(d[2:], uint16(end))
		}
		if hashed {
			h := attrHash(a.name, base[end:end+size])
			le.PutUint32(d[12:], h)
			zero = zero || h == 0
			sum = sum<<16 ^ sum>>16 ^ h
		}
		d = d[attrEntryHead+(len(a.name)+3)&^3:]
	}
	if zero {
		return 0
	}
	return sum
}

// attrHash is an entry's hash (ext4_xattr_hash_entry).
func attrHash(name string, value []byte) (h uint32) {
	for k := range len(name) {
		h = h<<5 ^ h>>27 ^ uint32(name[k])
	}
	for ; len(value) >= 4; value = value[4:] {
		h = h<<16 ^ h>>16 ^ le.Uint32(value)
	}
	return h
}

// putAttrs journals both areas.
func (i *Inode) putAttrs(o *op, inner, outer []byte) syscall.Errno {
	switch {
	case outer == nil:
		if e := i.freeAttrBlock(o); e != 0 {
			return e
		}
	default:
		b, e := i.ownAttrBlock(o)
		if e != 0 {
			return e
		}
		copy(b.Data, outer)
		b.Put()
	}
	i.slot.Lock()
	copy(i.attrSpace(), inner)
	i.slot.Unlock()
	i.ctime = i.fs.opt.Now()
	return i.write(o)
}

// ownAttrBlock is the buffer of the inode's attribute block, to be written anew: a new block
// if the inode has none or shares it with other inodes.
func (i *Inode) ownAttrBlock(o *op) (*jbd2.Buffer, syscall.Errno) {
	if i.acl != 0 {
		b, e := i.attrBlock()
		if e != 0 {
			return nil, e
		}
		if le.Uint32(b.Data[4:]) == 1 {
			o.dirty(b, i.fs.sealAttrs)
			return b, 0
		}
		b.Put()
	}
	block, e := o.block(i.goalLocked(0))
	if e != 0 {
		return nil, e
	}
	if e := i.freeAttrBlock(o); e != 0 {
		return nil, e
	}
	i.acl = block
	i.blocks += uint64(i.fs.blockSize >> 9)
	return o.fresh(block, checkedXattr, i.fs.sealAttrs), 0
}

// freeAttrBlock drops the inode's attribute block; the last owner frees it.
func (i *Inode) freeAttrBlock(o *op) syscall.Errno {
	if i.acl == 0 {
		return 0
	}
	b, e := i.attrBlock()
	if e != 0 {
		return e
	}
	defer b.Put()
	block := i.acl
	i.blocks -= min(i.blocks, i.attrBlocks())
	i.acl = 0
	i.fs.attrShare.Lock()
	defer i.fs.attrShare.Unlock()
	if refs := le.Uint32(b.Data[4:]); refs > 1 {
		o.dirty(b, i.fs.sealAttrs)
		le.PutUint32(b.Data[4:], refs-1)
		return 0
	}
	return o.free(block, 1, true)
}
