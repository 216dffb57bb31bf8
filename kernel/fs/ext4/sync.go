package ext4

import (
	"sync"
	"syscall"
	"time"
)

// lazyTimes are the inodes whose times have changed in memory only (lazytime). The set has
// a reference to each.
type lazyTimes struct {
	writing sync.Mutex // held while the times are journalled, so that a second Sync waits for the first

	mu    sync.Mutex
	set   map[*Inode]struct{}
	timer *time.Timer // nil: not armed
}

// lazyInterval is how long times stay in memory only.
const lazyInterval = 5 * time.Second

// markTimesDirty records that the inode has new times. Caller holds i.mu.
func (i *Inode) markTimesDirty() {
	if i.dirtyTimes || i.nlink == 0 {
		return
	}
	i.dirtyTimes = true
	l := &i.fs.lazy
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
		l.timer = time.AfterFunc(lazyInterval, i.fs.lazyTimer)
	}
}

// stop stops the timer.
func (l *lazyTimes) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.timer != nil {
		l.timer.Stop()
		l.timer = nil
	}
}

func (fs *FS) lazyTimer() {
	fs.lazy.mu.Lock()
	fs.lazy.timer = nil
	fs.lazy.mu.Unlock()
	fs.writeLazyTimes()
}

// dropLazyTimes discards the times of an inode without links. The caller has a reference.
func (fs *FS) dropLazyTimes(i *Inode) {
	l := &fs.lazy
	l.mu.Lock()
	_, in := l.set[i]
	delete(l.set, i)
	l.mu.Unlock()
	if in {
		i.unref()
	}
}

// writeLazyTimes journals the times of all inodes that have new ones.
func (fs *FS) writeLazyTimes() (e syscall.Errno) {
	l := &fs.lazy
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
	if !i.dirtyTimes {
		return 0
	}
	o, e := i.fs.begin(1, 0)
	if e != 0 {
		return e
	}
	return o.end(i.write(o))
}

// beginReserved is begin for a change that writes reserved data or frees space: it may use
// the blocks that are kept for that (FS.margin).
func (fs *FS) beginReserved(credits int, blocks int64) (*op, syscall.Errno) {
	return fs.beginMargin(credits, blocks, 0)
}

// Fsync returns when the inode and the data that was written are durable. With dataOnly, as
// fdatasync(2), times need not be.
func (i *Inode) Fsync(dataOnly bool) syscall.Errno {
	fs := i.fs
	i.syncing.Lock()
	defer i.syncing.Unlock()
	// This flush need not cover data that is overwritten from here on.
	written := i.overwritten.Swap(false)
	i.mu.Lock()
	fresh := false
	if i.dirtyTimes && !dataOnly && !fs.ro.Load() {
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

// flush commits a transaction. If data was written in place it flushes the device, unless
// the transaction is so new that its commit does. Caller holds i.syncing.
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

// Sync makes every change durable that was made before the call.
func (fs *FS) Sync() syscall.Errno {
	if fs.ro.Load() {
		if fs.j.Err() != nil {
			return syscall.EIO
		}
		return 0
	}
	if e := fs.writeLazyTimes(); e != 0 {
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

// counts adds up the descriptors' counts.
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

// startWriting marks the disk as mounted and frees the orphans that a crash has left.
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

// storeSuper writes the superblock past the journal and waits until it is durable.
func (fs *FS) storeSuper() syscall.Errno {
	sealSuper(fs.geometry, fs.super())
	block := append([]byte(nil), fs.superBuf.Data...)
	if e := fs.dev.WriteAt([][]byte{block}, fs.blockBytes(fs.superBuf.Block)); e != 0 {
		return e
	}
	return fs.dev.Flush()
}

// Unmount checkpoints everything and marks the disk as clean. Concurrent changes are either
// included or fail with EROFS, as all changes after it do. EIO: the disk is not clean; the
// next mount replays the journal.
func (fs *FS) Unmount() syscall.Errno {
	fs.lazy.stop()
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
	// From here on nothing changes: closing the journal has waited for open handles.
	sb := fs.super()
	le.PutUint32(sb[sIncompat:], le.Uint32(sb[sIncompat:])&^incompatRecover)
	if fs.orphans.empty() {
		le.PutUint32(sb[sRoCompat:], le.Uint32(sb[sRoCompat:])&^roOrphanPresent)
	}
	blocks, inodes := fs.counts()
	fs.putCounts(sb, blocks, inodes)
	return fs.storeSuper()
}

// empty reports whether the orphan file has no inodes.
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
