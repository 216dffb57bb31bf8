package ext4

import "syscall"

// Attr are a file's attributes as stat(2) has them. Times are in ns since 1970, Blocks in
// units of 512 bytes, Rdev in Linux's user space encoding (makedev(3)).
type Attr struct {
	Mode                        uint32 // with the type bits
	UID, GID                    uint32
	Nlink                       uint32
	Size                        int64
	Blocks                      int64
	Atime, Mtime, Ctime, Crtime int64
	Rdev                        uint64
	Flags                       uint32 // as FS_IOC_GETFLAGS returns them
	Generation                  uint32
}

// AttrMask says which fields of Attr SetAttr takes.
type AttrMask uint32

const (
	SetMode AttrMask = 1 << iota // the low twelve bits
	SetUID
	SetGID
	SetAtime
	SetMtime
	SetCtime // set ctime as given; without this bit a change sets it to now
)

// Attr returns the inode's attributes.
func (i *Inode) Attr() Attr {
	i.mu.RLock()
	defer i.mu.RUnlock()
	a := Attr{Mode: uint32(i.mode), UID: i.uid, GID: i.gid, Nlink: i.nlink, Size: int64(i.size), Blocks: int64(i.blocks),
		Atime: i.atime, Mtime: i.mtime, Ctime: i.ctime, Crtime: i.crtime, Flags: i.flags, Generation: i.generation}
	if k := i.kind(); k == typeChar || k == typeBlk {
		a.Rdev = i.rdev()
	}
	return a
}

// rdev decodes a device number. The first word of i_block has 8 bits of major and 8 of
// minor; if it is 0, the second word has 12 and 20 bits, as in the kernel's new_encode_dev.
func (i *Inode) rdev() uint64 {
	if old := le.Uint32(i.block[:]); old != 0 {
		return uint64(old)
	}
	return uint64(le.Uint32(i.block[4:]))
}

func (i *Inode) putRdev(dev uint64) {
	major, minor := dev>>8&0xfff|dev>>32&^0xfff, dev&0xff|dev>>12&^0xff
	if major < 256 && minor < 256 {
		le.PutUint32(i.block[:], uint32(major<<8|minor))
		return
	}
	le.PutUint32(i.block[4:], uint32(minor&0xff|major<<8|minor&^0xff<<12))
}

// SetAttr changes attributes. A change of times alone is written with lazytime: it stays
// in memory until Fsync, Sync or five seconds have passed.
func (i *Inode) SetAttr(mask AttrMask, a Attr) syscall.Errno {
	fs := i.fs
	if fs.ro.Load() {
		return syscall.EROFS
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.freed {
		return syscall.ESTALE
	}
	if mask&(SetMode|SetUID|SetGID) == 0 {
		old := [...]int64{i.atime, i.mtime, i.ctime}
		if i.take(mask, a); old != [...]int64{i.atime, i.mtime, i.ctime} {
			i.markTimesDirty()
		}
		return 0
	}
	o, e := fs.begin(2, 0)
	if e != 0 {
		return e
	}
	i.take(mask, a)
	return o.end(i.write(o))
}

func (i *Inode) take(mask AttrMask, a Attr) {
	if mask&SetMode != 0 {
		i.mode = i.mode&typeMask | uint16(a.Mode&0xfff)
	}
	if mask&SetUID != 0 {
		i.uid = a.UID
	}
	if mask&SetGID != 0 {
		i.gid = a.GID
	}
	if mask&SetAtime != 0 {
		i.atime = a.Atime
	}
	if mask&SetMtime != 0 {
		i.mtime = a.Mtime
	}
	if mask&SetCtime != 0 {
		i.ctime = a.Ctime
	} else if mask&^SetAtime != 0 {
		i.ctime = i.fs.opt.Now()
	}
}

// Stat are the counts of statfs(2).
type Stat struct {
	BlockSize                   int
	Blocks, Free, Avail         uint64
	Inodes, FreeInodes          uint64
	UUID                        [16]byte
	Label                       string
	NameMax                     int
	GroupBlocks, JournalReplays int
}

// Stat counts blocks and inodes. Blocks reserved for dirty pages are not free.
func (fs *FS) Stat() Stat {
	free := uint64(max(0, fs.space.free.Load()+fs.space.prealloc.Load()+fs.space.deferred.Load()-fs.space.reserved.Load()))
	s := Stat{BlockSize: fs.blockSize, Blocks: fs.blocks - fs.overhead(), Free: free, Inodes: uint64(fs.inodes),
		FreeInodes: uint64(max(0, fs.freeInode.Load())), UUID: fs.uuid, Label: fs.label, NameMax: nameMax, GroupBlocks: int(fs.blocksPer)}
	s.Avail = free - min(free, fs.reserved)
	return s
}

// overhead is how many blocks the tables take.
func (fs *FS) overhead() (n uint64) {
	for _, s := range fs.system {
		n += s.n
	}
	return n + fs.firstData
}
