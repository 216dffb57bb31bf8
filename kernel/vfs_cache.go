package kernel

// The tree of dentries is a cache of names in file systems. Its size is bounded: names that
// were not looked up lately are evicted, by a clock.

// dentryMemory is the amount of RAM per dentry that may be cached. A dentry costs about 1 KiB
// with its inode.
const dentryMemory = 64 << 10

// cache adds c, its parent's child, to the clock, and makes room. mu is held.
func (v *vfs) cache(c *dentry) {
	if c.cached {
		return
	}
	c.cached, c.recent, c.place = true, true, len(v.cached)
	v.cached = append(v.cached, c)
	if v.most == 0 {
		total, _ := v.k.m.Memory()
		v.most = int(max(total/dentryMemory, 256))
	}
	for tries := 8; len(v.cached) > v.most && tries > 0; tries-- {
		v.sweep()
	}
}

// sweep looks at one dentry and evicts it if it is not needed. mu is held.
func (v *vfs) sweep() {
	if v.hand++; v.hand >= len(v.cached) {
		v.hand = 0
	}
	c := v.cached[v.hand]
	held := c.parent != nil && c.parent.children[c.name] == c
	if held && (c.recent || len(c.children) > 0 || c.mounted != nil || c.users.Load() > 0) {
		c.recent = false
		return
	}
	if held {
		delete(c.parent.children, c.name)
	}
	v.uncache(c)
}

// uncache removes c, which is its parent's child no more, from the clock. mu is held.
func (v *vfs) uncache(c *dentry) {
	if !c.cached {
		return
	}
	c.cached = false
	last := len(v.cached) - 1
	moved := v.cached[last]
	v.cached[c.place], moved.place = moved, c.place
	v.cached[last] = nil
	v.cached = v.cached[:last]
}
