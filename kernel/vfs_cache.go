package kernel

// The tree of dentries is a cache of what file systems know. It is bounded: names
// that nobody has looked up lately are forgotten, by a clock.

// dentryMemory is how much RAM there is for each dentry that may be cached. One
// costs about 1 KiB with the inode behind it.
const dentryMemory = 64 << 10

// cache enters c, which its parent holds, into the clock, and makes room. mu is
// held.
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

// sweep looks at one dentry and forgets it if nobody needs it. mu is held.
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

// uncache takes c, whose name its parent does not hold any more, from the clock. mu
// is held.
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
