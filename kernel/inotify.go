package kernel

import (
	"sync"
	"sync/atomic"
	"syscall"
)

// inotify(7): the calls that change files notify watches of it.

// These are the event bits of inotify(7).
const (
	inAccess     = 0x1
	inModify     = 0x2
	inAttrib     = 0x4
	inCloseWrite = 0x8
	inCloseRead  = 0x10
	inOpen       = 0x20
	inMovedFrom  = 0x40
	inMovedTo    = 0x80
	inCreate     = 0x100
	inDelete     = 0x200
	inDeleteSelf = 0x400
	inMoveSelf   = 0x800
	inAllEvents  = 0xfff
	inUnmount    = 0x2000
	inOverflow   = 0x4000
	inIgnored    = 0x8000
	inOnlyDir    = 0x01000000
	inDontFollow = 0x02000000
	inExclUnlink = 0x04000000
	inMaskCreate = 0x10000000
	inMaskAdd    = 0x20000000
	inIsDir      = 0x40000000
	inOneshot    = 0x80000000

	// inKnown are the bits of which inotify_add_watch(2) wants one at least.
	inKnown = inAllEvents | inUnmount | inOverflow | inIgnored | inOnlyDir | inDontFollow | inExclUnlink |
		inMaskCreate | inMaskAdd | inIsDir | inOneshot
)

// inotifyMaxQueue is /proc/sys/fs/inotify/max_queued_events.
const inotifyMaxQueue = 16384

type inodeKey struct{ dev, ino uint64 }

// inotifyState has all watches.
type inotifyState struct {
	count   atomic.Int32
	mu      sync.Mutex
	watches map[inodeKey][]*inotifyWatch
	cookie  uint32
}

// active reports whether there are watches: if not, the hooks cost one load.
func (s *inotifyState) active() bool { return s.count.Load() != 0 }

// inotify is an instance.
type inotify struct {
	anonFile
	k *Kernel

	// Guarded by inotifyState.mu:
	watches map[int32]*inotifyWatch
	nextWD  int32

	mu     sync.Mutex // guards the queue; taken after inotifyState.mu
	events []inotifyEvent
}

type inotifyWatch struct {
	in   *inotify
	wd   int32
	key  inodeKey
	mask uint32
	// pin keeps a file of another machine's file system open, so that its number is not given to
	// another one (pinned); otherwise it is nil.
	pin File
}

type inotifyEvent struct {
	wd           int32
	mask, cookie uint32
	name         string
}

// size is the length of the event as struct inotify_event, with its name padded to a
// multiple of the header.
func (e *inotifyEvent) size() int {
	if e.name == "" {
		return 16
	}
	return 16 + (len(e.name)/16+1)*16
}

func (in *inotify) Read(p []byte, _ int64) (int, syscall.Errno) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if len(in.events) == 0 {
		return 0, syscall.EAGAIN
	}
	n := 0
	for len(in.events) > 0 {
		e := &in.events[0]
		size := e.size()
		if n+size > len(p) {
			break
		}
		q := p[n : n+size]
		put64(q, uint64(uint32(e.wd))|uint64(e.mask)<<32)
		put64(q[8:], uint64(e.cookie)|uint64(size-16)<<32)
		clear(q[16:])
		copy(q[16:], e.name)
		n += size
		in.events = in.events[1:]
	}
	if n == 0 {
		return 0, syscall.EINVAL // too small for the next event
	}
	return n, 0
}

func (in *inotify) Write([]byte, int64) (int, syscall.Errno) { return 0, syscall.EBADF }

func (in *inotify) Readiness() Events {
	in.mu.Lock()
	defer in.mu.Unlock()
	if len(in.events) > 0 {
		return EventIn
	}
	return 0
}

func (in *inotify) Release() {
	s := &in.k.inotify
	s.mu.Lock()
	watches := in.watches
	for _, w := range watches {
		s.unlink(w)
	}
	in.watches = nil
	s.mu.Unlock()
	for _, w := range watches {
		w.unpin()
	}
}

func (w *inotifyWatch) unpin() {
	if w.pin != nil {
		w.pin.Release()
	}
}

// Ioctl serves FIONREAD.
func (in *inotify) Ioctl(req uintptr, a Args) (uintptr, syscall.Errno) {
	if req != fionread {
		return 0, syscall.ENOTTY
	}
	n, e := user[int32](&a, 2)
	if e != 0 {
		return 0, e
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	*n = 0
	for i := range in.events {
		*n += int32(in.events[i].size())
	}
	return 0, 0
}

// put queues an event, unless it says what the last one does.
func (in *inotify) put(e inotifyEvent) {
	in.mu.Lock()
	n := len(in.events)
	if n > 0 {
		last := in.events[n-1]
		if last.cookie = e.cookie; last == e && e.mask != inIgnored {
			in.mu.Unlock()
			return
		}
	}
	switch {
	case n == inotifyMaxQueue:
		in.events = append(in.events, inotifyEvent{wd: -1, mask: inOverflow})
	case n < inotifyMaxQueue:
		in.events = append(in.events, e)
	}
	in.mu.Unlock()
	in.queue.Notify(EventIn)
}

// unlink takes w off the global list. mu is held.
func (s *inotifyState) unlink(w *inotifyWatch) {
	list := s.watches[w.key]
	for i := range list {
		if list[i] == w {
			list = append(list[:i:i], list[i+1:]...)
			s.count.Add(-1)
			break
		}
	}
	if len(list) == 0 {
		delete(s.watches, w.key)
	} else {
		s.watches[w.key] = list
	}
}

// event is what happened to an object, for tell.
type event struct {
	mask, cookie uint32
	name         string // in the watched folder; "" if the object itself is watched
	unnamed      bool   // the object has lost that name (IN_EXCL_UNLINK)
}

// tell reports an event to the watches of one inode.
func (s *inotifyState) tell(key inodeKey, ev event) {
	s.mu.Lock()
	var ended []*inotifyWatch
	list := s.watches[key]
	for i := len(list) - 1; i >= 0; i-- {
		w := list[i]
		if w.mask&ev.mask&inAllEvents == 0 || ev.unnamed && w.mask&inExclUnlink != 0 {
			continue
		}
		w.in.put(inotifyEvent{wd: w.wd, mask: ev.mask, cookie: ev.cookie, name: ev.name})
		if w.mask&inOneshot != 0 {
			s.remove(w)
			ended = append(ended, w)
		}
	}
	s.mu.Unlock()
	for _, w := range ended {
		w.unpin()
	}
}

// remove ends a watch and queues IN_IGNORED. mu is held; the caller unpins it when it no longer is.
func (s *inotifyState) remove(w *inotifyWatch) {
	s.unlink(w)
	delete(w.in.watches, w.wd)
	w.in.put(inotifyEvent{wd: w.wd, mask: inIgnored})
}

func keyOf(n Inode) inodeKey {
	var st syscall.Stat_t
	n.Stat(&st)
	return inodeKey{st.Dev, st.Ino}
}

// nameOf returns the directory and name of d, and whether it has lost that name.
func (k *Kernel) nameOf(d *dentry) (dir *dentry, name string, unnamed bool) {
	k.vfs.mu.Lock()
	defer k.vfs.mu.Unlock()
	return d.parent, d.name, d.deleted
}

// notifyEntry notifies the directory of d of an event about a name.
func (k *Kernel) notifyEntry(d *dentry, mask uint32) {
	if !k.inotify.active() {
		return
	}
	if dir, name, _ := k.nameOf(d); dir != nil {
		k.inotify.tell(keyOf(dir.inode), event{mask: mask, name: name})
	}
}

// notifyObject notifies d and its directory of an event on the object.
func (k *Kernel) notifyObject(d *dentry, mask uint32) {
	if d == nil || !k.inotify.active() {
		return
	}
	if d.isDir() {
		mask |= inIsDir
	}
	if dir, name, unnamed := k.nameOf(d); dir != nil {
		k.inotify.tell(keyOf(dir.inode), event{mask: mask, name: name, unnamed: unnamed})
	}
	k.inotify.tell(keyOf(d.inode), event{mask: mask})
}

func (k *Kernel) notifyModify(d *dentry) { k.notifyObject(d, inModify) }

// notifyAccess notifies watches that something was read.
func (d *Description) notifyAccess() {
	if d.where != nil && d.k.inotify.active() {
		d.k.notifyObject(d.where, inAccess)
	}
}

// notifyAttr notifies watches of a change of attributes, as Linux's fsnotify_change.
func (k *Kernel) notifyAttr(d *dentry, c AttrChange) {
	var mask uint32
	if c.Mask&(AttrMode|AttrUID|AttrGID) != 0 {
		mask |= inAttrib
	}
	switch c.Mask & (AttrAtime | AttrMtime) {
	case AttrAtime | AttrMtime:
		mask |= inAttrib
	case AttrAtime:
		mask |= inAccess
	case AttrMtime:
		mask |= inModify
	}
	if mask != 0 {
		k.notifyObject(d, mask)
	}
}

// notifyClose notifies watches of the last close of a description.
func (k *Kernel) notifyClose(d *Description) {
	if d.where == nil || !k.inotify.active() {
		return
	}
	mask := uint32(inCloseRead)
	if d.writable() {
		mask = inCloseWrite
	}
	k.notifyObject(d.where, mask)
}

// notifyLinks notifies a file that it has one name more or less. A folder is not told.
func (k *Kernel) notifyLinks(d *dentry) {
	if k.inotify.active() && !d.isDir() {
		k.inotify.tell(keyOf(d.inode), event{mask: inAttrib})
	}
}

// notifyGone tells the watches of an object without a name that it is gone, and ends them, unless it
// is open: then its last close does.
func (k *Kernel) notifyGone(d *dentry) {
	if !k.inotify.active() || d.users.Load() > 0 {
		return
	}
	var st syscall.Stat_t
	d.inode.Stat(&st)
	if st.Nlink > 0 && !d.isDir() {
		return
	}
	key := inodeKey{st.Dev, st.Ino}
	s := &k.inotify
	s.tell(key, event{mask: inDeleteSelf})
	s.mu.Lock()
	ended := append([]*inotifyWatch(nil), s.watches[key]...)
	for _, w := range ended {
		s.remove(w)
	}
	s.mu.Unlock()
	for _, w := range ended {
		w.unpin()
	}
}

// notifyRename notifies watches of a rename.
func (k *Kernel) notifyRename(r *rename) {
	if !k.inotify.active() {
		return
	}
	k.notifyMove(r.old, r.from, r.fromName, r.to, r.toName, r.target, r.exchange)
	if r.exchange {
		k.notifyMove(r.target, r.to, r.toName, r.from, r.fromName, nil, true)
	} else if r.target != nil {
		k.notifyGone(r.target)
	}
}

// notifyMove notifies watches that an object got another name, which target has lost.
func (k *Kernel) notifyMove(d, from *dentry, fromName string, to *dentry, toName string, target *dentry, exchange bool) {
	s := &k.inotify
	s.mu.Lock()
	s.cookie++
	cookie := s.cookie
	s.mu.Unlock()
	var dir uint32
	if d.isDir() {
		dir = inIsDir
	}
	s.tell(keyOf(from.inode), event{mask: inMovedFrom | dir, cookie: cookie, name: fromName})
	s.tell(keyOf(to.inode), event{mask: inMovedTo | dir, cookie: cookie, name: toName})
	if target != nil && !exchange {
		k.notifyLinks(target)
	}
	s.tell(keyOf(d.inode), event{mask: inMoveSelf})
}

// sysInotifyInit is inotify_init(2).
func sysInotifyInit(k *Kernel, a Args) (uintptr, syscall.Errno) { return k.inotifyInit(0) }

// sysInotifyInit1 is inotify_init1(2).
func sysInotifyInit1(k *Kernel, a Args) (uintptr, syscall.Errno) { return k.inotifyInit(a.Int(0)) }

func (k *Kernel) inotifyInit(flags int) (uintptr, syscall.Errno) {
	if flags&^(syscall.O_CLOEXEC|syscall.O_NONBLOCK) != 0 {
		return 0, syscall.EINVAL
	}
	in := &inotify{k: k, watches: make(map[int32]*inotifyWatch)}
	in.id = k.proc.nextID()
	return k.installNew(in, syscall.O_RDONLY|flags&syscall.O_NONBLOCK, flags)
}

func (k *Kernel) getInotify(a *Args) (*inotify, *Description, syscall.Errno) {
	d, e := k.get(a, 0)
	if e != 0 {
		return nil, nil, e
	}
	if in, ok := d.file.(*inotify); ok {
		return in, d, 0
	}
	d.DecRef()
	return nil, nil, syscall.EINVAL
}

// sysInotifyAddWatch is inotify_add_watch(2).
func sysInotifyAddWatch(k *Kernel, a Args) (uintptr, syscall.Errno) {
	mask := uint32(a.N[2])
	if mask&inKnown == 0 {
		return 0, syscall.EINVAL
	}
	in, desc, e := k.getInotify(&a)
	if e != 0 {
		return 0, e
	}
	defer desc.DecRef()
	if mask&(inMaskAdd|inMaskCreate) == inMaskAdd|inMaskCreate {
		return 0, syscall.EINVAL
	}
	d, e := k.lookupAt(atFdCwd, &a, 1, mask&inDontFollow == 0)
	if e != 0 {
		return 0, e
	}
	if mask&inOnlyDir != 0 && !d.isDir() {
		return 0, syscall.ENOTDIR
	}
	pin := pinned(d)
	w, wd, e := k.inotify.add(in, keyOf(d.inode), mask)
	if w != nil {
		w.pin = pin
	} else if pin != nil {
		pin.Release()
	}
	return wd, e
}

// pinned opens the file or folder of another machine's file system (9P). While it is open the host
// does not give its number to another file, whose events would otherwise be reported.
func pinned(d *dentry) File {
	if _, remote := d.mnt.fs.(interface{ Remote() }); !remote {
		return nil
	}
	f, e := d.inode.Open(syscall.O_RDONLY | syscall.O_NONBLOCK)
	if e != 0 {
		return nil
	}
	return f
}

// add adds a watch, or changes the one that there is.
func (s *inotifyState) add(in *inotify, key inodeKey, mask uint32) (added *inotifyWatch, wd uintptr, e syscall.Errno) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.watches[key] {
		if w.in != in {
			continue
		}
		if mask&inMaskCreate != 0 {
			return nil, 0, syscall.EEXIST
		}
		if mask&inMaskAdd == 0 {
			w.mask = 0
		}
		w.mask |= mask
		return nil, uintptr(w.wd), 0
	}
	in.nextWD++
	w := &inotifyWatch{in: in, wd: in.nextWD, key: key, mask: mask}
	if s.watches == nil {
		s.watches = make(map[inodeKey][]*inotifyWatch)
	}
	s.watches[key] = append(s.watches[key], w)
	in.watches[w.wd] = w
	s.count.Add(1)
	return w, uintptr(w.wd), 0
}

// sysInotifyRmWatch is inotify_rm_watch(2).
func sysInotifyRmWatch(k *Kernel, a Args) (uintptr, syscall.Errno) {
	in, desc, e := k.getInotify(&a)
	if e != 0 {
		return 0, e
	}
	defer desc.DecRef()
	s := &k.inotify
	s.mu.Lock()
	w := in.watches[int32(a.N[1])]
	if w != nil {
		s.remove(w)
	}
	s.mu.Unlock()
	if w == nil {
		return 0, syscall.EINVAL
	}
	w.unpin()
	return 0, 0
}
