package ext4

import (
	"sync"
	"syscall"
	"time"
)

// lateInodes have times in memory that no transaction has seen. Each is referenced.
type lateInodes struct {
	writing sync.Mutex // held while a set is journalled: who finds none waits for that

	mu    sync.Mutex
	set   map[*Inode]struct{}
	timer *time.Timer // nil: not armed
}

// lateAfter is how long times stay in memory only.
const lateAfter = 5 * time.Second

// late remembers that the inode has new times. Caller holds i.mu.
func (i *Inode) late() {
	if i.lateTimes || i.nlink == 0 {
		return
	}
	i.lateTimes = true
	l := &i.fs.late
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, in := l.set[i]; in {
		return
	}
	if l.set == nil {
		l.set = map[*Inode]struct{}{}
	}
	i.Ref()
	l.set[i] = struct{}{}
	if l.timer == nil {
		l.timer = time.AfterFunc(lateAfter, i.fs.writeLateNow)
	}
}

// stop ends the timer.
func (l *lateInodes) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.timer != nil {
		l.timer.Stop()
		l.timer = nil
	}
}

func (fs *FS) writeLateNow() {
	fs.late.mu.Lock()
	fs.late.timer = nil
	fs.late.mu.Unlock()
	fs.writeLate()
}

// notLate forgets the times of an inode that has no links any more. The caller has
// a reference.
func (fs *FS) notLate(i *Inode) {
	l := &fs.late
	l.mu.Lock()
	_, in := l.set[i]
	delete(l.set, i)
	l.mu.Unlock()
	if in {
		i.drop()
	}
}

// writeLate journals the times of all inodes that have new ones.
func (fs *FS) writeLate() (e syscall.Errno) {
	l := &fs.late
	l.writing.Lock()
	defer l.writing.Unlock()
	l.mu.Lock()
	set := l.set
	l.set = nil
	l.mu.Unlock()
	for i := range set {
		i.mu.Lock()
		if written := i.writeTimes(); e == 0 {
			e = written
		}
		i.mu.Unlock()
		i.Put()
	}
	return e
}

// writeTimes journals the inode if its times are new. Caller holds i.mu.
func (i *Inode) writeTimes() syscall.Errno {
	if !i.lateTimes {
		return 0
	}
	o, e := i.fs.begin(1, 0)
	if e != 0 {
		return e
	}
	return o.end(i.write(o))
}

// beginPromised is begin for a change that makes promises true or frees space: it
// may use what is kept for that (FS.margin).
func (fs *FS) beginPromised(credits int, blocks int64) (*op, syscall.Errno) {
	return fs.beginMargin(credits, blocks, 0)
}

// Fsync returns when the file's data that was written and the inode are durable.
// With dataOnly, as fdatasync(2), times need not be.
func (i *Inode) Fsync(dataOnly bool) syscall.Errno {
	fs := i.fs
	i.syncing.Lock()
	defer i.syncing.Unlock()
	// What is overwritten from here on is no transaction's to flush.
	written := i.overwritten.Swap(false)
	i.mu.Lock()
	fresh := false
	if i.lateTimes && !dataOnly && !fs.ro.Load() {
		if e := i.writeTimes(); e != 0 {
			i.mu.Unlock()
			if written {
				i.overwritten.Store(true)
			}
			return e
		}
		fresh = true
	}
	tid := i.tid
	if dataOnly {
		tid = i.dataTID
	}
	i.mu.Unlock()
	return i.flush(tid, written, fresh)
}

// flush commits a transaction and, if data was written in place, the device, unless
// the transaction is so new that its commit flushes the data too. syncing is held.
func (i *Inode) flush(tid uint64, written, fresh bool) syscall.Errno {
	e := syscall.Errno(0)
	if tid != 0 {
		e = i.fs.j.Commit(tid)
	}
	if e == 0 && written && !fresh {
		e = i.fs.dev.Flush()
	}
	if e == 0 && i.fs.j.Err() != nil {
		e = syscall.EIO
	}
	if e != 0 && written {
		i.overwritten.Store(true)
	}
	return e
}

// Sync makes everything durable that was changed before.
func (fs *FS) Sync() syscall.Errno {
	if fs.ro.Load() {
		if fs.j.Err() != nil {
			return syscall.EIO
		}
		return 0
	}
	if e := fs.writeLate(); e != 0 {
		return e
	}
	if e := fs.writeCounts(); e != 0 {
		return e
	}
	if e := fs.j.CommitAll(); e != 0 {
		return e
	}
	return fs.dev.Flush()
}

// counts sums up the descriptors.
func (fs *FS) counts() (blocks uint64, inodes uint32) {
	for _, g := range fs.group {
		g.mu.Lock()
		blocks += uint64(fs.descFree(g.desc))
		inodes += fs.descInodes(g.desc)
		g.mu.Unlock()
	}
	return blocks, inodes
}

// writeCounts journals the superblock's counters if they are out of date.
func (fs *FS) writeCounts() syscall.Errno {
	blocks, inodes := fs.counts()
	fs.superMu.Lock()
	sb := fs.super()
	same := pair32(sb, sFreeBlocksLo, sFreeBlocksHi, fs.hasIncompat(incompat64bit)) == blocks && le.Uint32(sb[sFreeInodes:]) == inodes
	fs.superMu.Unlock()
	if same {
		return 0
	}
	o, e := fs.begin(1, 0)
	if e != 0 {
		return e
	}
	o.changeSuper(func(sb []byte) { fs.putCounts(sb, blocks, inodes) })
	return o.end(0)
}

func (fs *FS) putCounts(sb []byte, blocks uint64, inodes uint32) {
	le.PutUint32(sb[sFreeBlocksLo:], uint32(blocks))
	if fs.hasIncompat(incompat64bit) {
		le.PutUint32(sb[sFreeBlocksHi:], uint32(blocks>>32))
	}
	le.PutUint32(sb[sFreeInodes:], inodes)
	now := fs.opt.Now() / 1e9
	le.PutUint32(sb[sWriteTime:], uint32(now))
	sb[sWriteTimeHi] = byte(now >> 32)
}

// startWriting marks the disk as mounted and frees the orphans of a crash.
func (fs *FS) startWriting() error {
	sb := fs.super()
	if le.Uint16(sb[sState:])&stateErrors != 0 {
		fs.opt.Log("ext4: errors were found on this file system before; run e2fsck")
	}
	le.PutUint32(sb[sIncompat:], le.Uint32(sb[sIncompat:])|incompatRecover)
	ro := le.Uint32(sb[sRoCompat:]) | roLargeFile // files may become larger than 2 GiB
	if fs.orphanFile != 0 {
		ro |= roOrphanPresent
	}
	le.PutUint32(sb[sRoCompat:], ro)
	le.PutUint16(sb[sMountCount:], le.Uint16(sb[sMountCount:])+1)
	now := fs.opt.Now() / 1e9
	le.PutUint32(sb[sMountTime:], uint32(now))
	sb[sMountTimeHi] = byte(now >> 32)
	if e := fs.storeSuper(); e != 0 {
		return mountError("superblock: " + e.Error())
	}
	if e := fs.recoverOrphans(); e != 0 {
		return mountError("orphans: " + e.Error() + "; run e2fsck")
	}
	return nil
}

// storeSuper writes the superblock past the journal, and waits until it is durable.
func (fs *FS) storeSuper() syscall.Errno {
	sealSuper(fs.geometry, fs.super())
	block := append([]byte(nil), fs.superBuf.Data...)
	if e := fs.dev.WriteAt([][]byte{block}, fs.blockBytes(fs.superBuf.Block)); e != 0 {
		return e
	}
	return fs.dev.Flush()
}

// Unmount writes everything to its place and marks the disk as clean. Changes that
// are under way are part of that, or EROFS as all later ones. EIO: the disk is not
// clean; its next mount replays the journal.
func (fs *FS) Unmount() syscall.Errno {
	fs.late.stop()
	if fs.ro.Load() {
		failed := fs.j.Err() != nil
		fs.j.Close()
		fs.endDiscards()
		if failed {
			return syscall.EIO
		}
		return 0
	}
	fs.dropWindows()
	e := fs.Sync()
	fs.waitDiscards()
	fs.ro.Store(true)
	if closed := fs.j.Close(); e == 0 {
		e = closed
	}
	fs.endDiscards()
	if e != 0 || fs.j.Err() != nil {
		return syscall.EIO
	}
	// Only now nothing changes any more: the journal has waited for open handles.
	sb := fs.super()
	le.PutUint32(sb[sIncompat:], le.Uint32(sb[sIncompat:])&^incompatRecover)
	if fs.orphans.empty() {
		le.PutUint32(sb[sRoCompat:], le.Uint32(sb[sRoCompat:])&^roOrphanPresent)
	}
	blocks, inodes := fs.counts()
	fs.putCounts(sb, blocks, inodes)
	return fs.storeSuper()
}

// empty says whether the orphan file names no inode.
func (l *orphans) empty() bool {
	for _, slots := range l.slots {
		for _, ino := range slots {
			if ino != 0 {
				return false
			}
		}
	}
	return true
}
