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
	for _, w := range in.watches {
		s.unlink(w)
	}
	in.watches = nil
	s.mu.Unlock()
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

// put queues an event, unless it is equal to the last one.
func (in *inotify) put(e inotifyEvent) {
	in.mu.Lock()
	n := len(in.events)
	switch {
	case n > 0 && in.events[n-1] == e:
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

// tell reports an event to the watches of one inode.
func (s *inotifyState) tell(key inodeKey, mask, cookie uint32, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.watches[key]
	for i := len(list) - 1; i >= 0; i-- {
		w := list[i]
		if w.mask&mask&inAllEvents == 0 {
			continue
		}
		w.in.put(inotifyEvent{wd: w.wd, mask: mask, cookie: cookie, name: name})
		if w.mask&inOneshot != 0 {
			s.remove(w)
		}
	}
}

// remove ends a watch and queues IN_IGNORED. mu is held.
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

// nameOf returns the directory and name of d.
func (k *Kernel) nameOf(d *dentry) (*dentry, string) {
	k.vfs.mu.Lock()
	defer k.vfs.mu.Unlock()
	return d.parent, d.name
}

// notifyEntry notifies the directory of d of an event about a name.
func (k *Kernel) notifyEntry(d *dentry, mask uint32) {
	if !k.inotify.active() {
		return
	}
	if dir, name := k.nameOf(d); dir != nil {
		k.inotify.tell(keyOf(dir.inode), mask, 0, name)
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
	k.notifyEntry(d, mask)
	k.inotify.tell(keyOf(d.inode), mask, 0, "")
}

func (k *Kernel) notifyModify(d *dentry) { k.notifyObject(d, inModify) }

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

// notifyUnlink notifies d itself that its name was removed, and ends its watches if that was
// the last name.
func (k *Kernel) notifyUnlink(d *dentry) {
	if !k.inotify.active() {
		return
	}
	var st syscall.Stat_t
	d.inode.Stat(&st)
	key := inodeKey{st.Dev, st.Ino}
	s := &k.inotify
	if st.Nlink > 0 && !d.isDir() {
		s.tell(key, inAttrib, 0, "")
		return
	}
	s.tell(key, inAttrib, 0, "")
	s.tell(key, inDeleteSelf, 0, "")
	s.mu.Lock()
	for _, w := range append([]*inotifyWatch(nil), s.watches[key]...) {
		s.remove(w)
	}
	s.mu.Unlock()
}

// notifyRename notifies watches of a rename.
func (k *Kernel) notifyRename(r *rename) {
	s := &k.inotify
	if !s.active() {
		return
	}
	s.mu.Lock()
	s.cookie++
	cookie := s.cookie
	s.mu.Unlock()
	var dir uint32
	if r.old.isDir() {
		dir = inIsDir
	}
	from, to := keyOf(r.from.inode), keyOf(r.to.inode)
	s.tell(from, inMovedFrom|dir, cookie, r.fromName)
	s.tell(to, inMovedTo|dir, cookie, r.toName)
	s.tell(keyOf(r.old.inode), inMoveSelf, 0, "")
	if r.target != nil && !r.exchange {
		k.notifyUnlink(r.target)
	}
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

// sysInotifyAddWatch is inotify_add_watch(2). IN_EXCL_UNLINK has no effect.
func sysInotifyAddWatch(k *Kernel, a Args) (uintptr, syscall.Errno) {
	mask := uint32(a.N[2])
	if mask&inAllEvents == 0 || mask&(inMaskAdd|inMaskCreate) == inMaskAdd|inMaskCreate {
		return 0, syscall.EINVAL
	}
	in, desc, e := k.getInotify(&a)
	if e != 0 {
		return 0, e
	}
	defer desc.DecRef()
	d, e := k.lookupAt(atFdCwd, &a, 1, mask&inDontFollow == 0)
	if e != 0 {
		return 0, e
	}
	if mask&inOnlyDir != 0 && !d.isDir() {
		return 0, syscall.ENOTDIR
	}
	return k.inotify.add(in, keyOf(d.inode), mask)
}

func (s *inotifyState) add(in *inotify, key inodeKey, mask uint32) (uintptr, syscall.Errno) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.watches[key] {
		if w.in != in {
			continue
		}
		if mask&inMaskCreate != 0 {
			return 0, syscall.EEXIST
		}
		if mask&inMaskAdd == 0 {
			w.mask = 0
		}
		w.mask |= mask
		return uintptr(w.wd), 0
	}
	in.nextWD++
	w := &inotifyWatch{in: in, wd: in.nextWD, key: key, mask: mask}
	if s.watches == nil {
		s.watches = make(map[inodeKey][]*inotifyWatch)
	}
	s.watches[key] = append(s.watches[key], w)
	in.watches[w.wd] = w
	s.count.Add(1)
	return uintptr(w.wd), 0
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
	defer s.mu.Unlock()
	w := in.watches[int32(a.N[1])]
	if w == nil {
		return 0, syscall.EINVAL
	}
	s.remove(w)
	return 0, 0
}
