package ext4

import (
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/yolk-unikernel/yolk/kernel/fs/block"
	"github.com/yolk-unikernel/yolk/kernel/fs/ext4/jbd2"
)

// Options are the options of a mount.
type Options struct {
	ReadOnly bool
	// Now is the time in ns since 1970; time.Now if nil.
	Now func() int64
	// Log gets lines about damage on the disk; may be nil.
	Log func(string)
	// CacheBytes bounds the metadata kept in memory; 4 MiB if zero.
	CacheBytes int
	// Discard is the length from which on runs of freed blocks are discarded, in bytes;
	// 0: 256 KiB; negative: nothing is discarded.
	Discard int64
}

// FS is a mounted file system.
type FS struct {
	*geometry
	dev block.Device
	j   *jbd2.Journal
	opt Options
	ro  atomic.Bool // mounted read-only, unmounted, or the journal has ended

	group    []*group
	descBufs []*jbd2.Buffer
	system   []span

	space    space
	discards discards
	loaded   loadedGroups
	table    table
	lazy     lazyTimes
	rename   sync.Mutex

	orphans   orphans
	attrShare sync.Mutex // guards the reference counts of shared attribute blocks

	superMu   sync.Mutex
	superBuf  *jbd2.Buffer
	freeInode atomic.Int64

	logged atomic.Int32
}

// Mount opens the file system on a device and replays its journal. Its errors say what is
// wrong and what to do.
func Mount(dev block.Device, opt Options) (*FS, error) {
	if opt.Now == nil {
		opt.Now = func() int64 { return time.Now().UnixNano() }
	}
	if opt.Log == nil {
		opt.Log = func(string) {}
	}
	if opt.Discard == 0 {
		opt.Discard = defaultDiscard
	}
	fs := &FS{dev: dev, opt: opt}
	fs.discards.ended.L = &fs.discards.mu
	fs.ro.Store(opt.ReadOnly || dev.ReadOnly())
	sb, err := fs.readSuper()
	if err != nil {
		return nil, err
	}
	if err := fs.chooseReadOnly(); err != nil {
		return nil, err
	}
	if err := fs.openJournal(sb); err != nil {
		return nil, err
	}
	if err := fs.start(); err != nil {
		fs.j.Close()
		fs.endDiscards()
		return nil, err
	}
	return fs, nil
}

// readSuper reads the superblock from the device, past every cache.
func (fs *FS) readSuper() ([]byte, error) {
	if fs.dev.Size() < 64<<10 {
		return nil, mountError("the device is too small")
	}
	buf := make([]byte, 4096)
	if e := fs.dev.ReadAt([][]byte{buf}, 0); e != 0 {
		return nil, mountError("superblock: " + e.Error())
	}
	sb := buf[superOffset : superOffset+superSize]
	g, err := parseSuper(sb, fs.dev.Size())
	if err != nil {
		return nil, err
	}
	if g.blockSize < fs.dev.BlockSize() {
		return nil, mountError("blocks of " + strconv.Itoa(g.blockSize) + " bytes are smaller than the device's; make the file system with mkfs.ext4 -b " + strconv.Itoa(fs.dev.BlockSize()))
	}
	fs.geometry = g
	return sb, nil
}

// chooseReadOnly falls back to a read-only mount where the format allows it, with a line
// in the log that gives the reason.
func (fs *FS) chooseReadOnly() error {
	why := ""
	switch {
	case fs.ro.Load():
		return nil
	case fs.ro1() != 0:
		why = "feature " + featureNames(fs.ro1(), roNames) + " can only be read"
	case !fs.has(compatHasJournal):
		why = "there is no journal (tune2fs -O has_journal adds one)"
	case !fs.hasIncompat(incompatExtents):
		why = "feature extent is missing (tune2fs -O extent adds it)"
	case fs.journalInode == 0:
		why = "the journal is on another device"
	default:
		return nil
	}
	fs.opt.Log("ext4: mounted read-only: " + why)
	fs.ro.Store(true)
	return nil
}

func (g *geometry) ro1() uint32 { return g.ro &^ roSupported }

// openJournal finds the journal's blocks with a cache that has no journal, and then opens
// the journal, which replays it.
func (fs *FS) openJournal(sb []byte) error {
	cfg := jbd2.Config{Device: fs.dev, BlockSize: fs.blockSize, Blocks: fs.blocks, ReadOnly: true,
		CacheBytes: fs.opt.CacheBytes, Log: fs.opt.Log, Failed: fs.failed}
	plain, err := jbd2.Open(cfg)
	if err != nil {
		return err
	}
	fs.j = plain
	if !fs.has(compatHasJournal) || fs.journalInode == 0 {
		if fs.hasIncompat(incompatRecover) {
			return mountError("the journal of another device has to be replayed; run e2fsck")
		}
		return nil
	}
	cfg.Journal, err = fs.journalRuns(sb)
	plain.Close()
	if err != nil {
		return err
	}
	cfg.ReadOnly = fs.dev.ReadOnly() || fs.ro.Load()
	cfg.Checksums = fs.metaCsum
	fs.j, err = jbd2.Open(cfg)
	return err
}

// journalRuns maps the journal's inode. It needs only the geometry and the descriptor of
// the inode's group, which no replay changes.
func (fs *FS) journalRuns(sb []byte) ([]jbd2.Run, error) {
	bad := mountError("the journal's inode is damaged; run e2fsck")
	if fs.journalInode != journalIno {
		return nil, bad
	}
	b, e := fs.j.Get(fs.descBlock(0))
	if e != 0 {
		return nil, bad
	}
	fs.group = []*group{{desc: b.Data[:fs.descSize:fs.descSize], buf: b}}
	table := fs.inodeTable(fs.group[0])
	if table == 0 || table >= fs.blocks || fs.inodesPer < journalIno {
		return nil, bad
	}
	fs.setSystem([]span{{0, fs.firstData + 1}})
	i := &Inode{fs: fs, ino: journalIno}
	e = fs.readInode(i)
	if e != 0 || i.kind() != typeReg || i.nlink == 0 || i.size>>fs.blockBits == 0 {
		return nil, bad
	}
	var runs []jbd2.Run
	end := uint64(i.size) >> fs.blockBits
	for l := uint64(0); l < end; {
		m, e := i.lookup(l, end-l)
		if e != 0 || m.phys == 0 || len(runs) > 1<<16 {
			return nil, bad
		}
		runs = append(runs, jbd2.Run{Logical: uint32(l), Physical: m.phys, Count: uint32(m.n)})
		l += m.n
	}
	return runs, nil
}

// start reads what a mounted file system keeps in memory. On a writable mount it marks the
// disk as mounted and frees the orphans.
func (fs *FS) start() error {
	if fs.j.Replayed() {
		fs.opt.Log("ext4: journal replayed")
	}
	b, e := fs.j.Get(superOffset >> fs.blockBits)
	if e != 0 {
		return mountError("superblock: " + e.Error())
	}
	fs.superBuf = b
	g, err := parseSuper(fs.super(), fs.dev.Size())
	if err != nil {
		return err
	}
	if field := g.differs(fs.geometry); field != "" {
		return mountError("superblock: the journal brings back another " + field + "; run e2fsck -f")
	}
	fs.geometry = g
	if e := fs.loadGroups(); e != 0 {
		return mountError("group descriptors: " + e.Error() + "; run e2fsck")
	}
	if g.torn {
		// A power cut can leave half of a superblock that was being written. The fields
		// that change while a disk is in use are counted anew or set at each mount. The
		// others have led to a journal and to group descriptors whose own checksums,
		// seeded with the superblock's UUID, are right.
		fs.opt.Log("ext4: the superblock's checksum is wrong, as after a power cut while it was written; all it leads to is right")
	}
	fs.countFree()
	root, e := fs.Root()
	if e != 0 {
		return mountError("root directory: " + e.Error() + "; run e2fsck")
	}
	dir := root.isDir()
	root.Put()
	if !dir {
		return mountError("inode 2 is not a directory; run e2fsck")
	}
	if fs.ro.Load() {
		return nil
	}
	return fs.startWriting()
}

// super is the superblock in its buffer. Caller holds superMu or has the only reference.
func (fs *FS) super() []byte {
	off := superOffset & (fs.blockSize - 1)
	return fs.superBuf.Data[off : off+superSize]
}

// ReadOnly reports whether the file system refuses changes.
func (fs *FS) ReadOnly() bool { return fs.ro.Load() }

// failed is called when the journal ends.
func (fs *FS) failed(err error) {
	fs.ro.Store(true)
	fs.opt.Log("ext4: read-only from now on: " + err.Error())
}

// corrupt logs damage on the disk, in at most 100 lines, and returns EIO.
func (fs *FS) corrupt(what string, n uint64) syscall.Errno {
	if fs.logged.Add(1) <= 100 {
		fs.opt.Log("ext4: damaged: " + what + " " + strconv.FormatUint(n, 10) + "; run e2fsck")
	}
	return syscall.EIO
}
