package kernel

import (
	"slices"
	"strings"
	"syscall"
)

// This file has the extended attributes of tmpfs (tmpfs(5)): those of programs, and those that only
// mean something to the system.

// xattrHere says whether tmpfs keeps attributes of a name's kind.
func xattrHere(name string) syscall.Errno {
	for _, prefix := range [...]string{"user.", "trusted.", "security."} {
		switch {
		case name == prefix:
			return syscall.EINVAL
		case strings.HasPrefix(name, prefix):
			return 0
		}
	}
	return syscall.EOPNOTSUPP
}

// GetXattr implements Xattrs.
func (n *tmpNode) GetXattr(name string) ([]byte, syscall.Errno) {
	if e := xattrHere(name); e != 0 {
		return nil, e
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	v, ok := n.xattrs[name]
	if !ok {
		return nil, syscall.ENODATA
	}
	return v, 0
}

// SetXattr implements Xattrs. A value is never changed, so that GetXattr need not copy it.
func (n *tmpNode) SetXattr(name string, value []byte, flags int) syscall.Errno {
	const create, replace = 1, 2
	if e := xattrHere(name); e != 0 {
		return e
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	_, ok := n.xattrs[name]
	switch {
	case ok && flags&create != 0:
		return syscall.EEXIST
	case !ok && flags&replace != 0:
		return syscall.ENODATA
	case n.xattrs == nil:
		n.xattrs = map[string][]byte{}
	}
	n.xattrs[name] = value
	n.ctime = wallTime()
	return 0
}

// ListXattr implements Xattrs, in the order of Linux's fs/xattr.c.
func (n *tmpNode) ListXattr() ([]string, syscall.Errno) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	var names []string
	for name := range n.xattrs {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return strings.Compare(b, a) })
	return names, 0
}

// RemoveXattr implements Xattrs.
func (n *tmpNode) RemoveXattr(name string) syscall.Errno {
	if e := xattrHere(name); e != 0 {
		return e
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, ok := n.xattrs[name]; !ok {
		return syscall.ENODATA
	}
	delete(n.xattrs, name)
	n.ctime = wallTime()
	return 0
}
