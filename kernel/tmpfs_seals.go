package kernel

import "syscall"

// These are seals of files of tmpfs, fcntl(2).
const (
	sealSeal        = 0x01
	sealShrink      = 0x02
	sealGrow        = 0x04
	sealWrite       = 0x08
	sealFutureWrite = 0x10
	sealExec        = 0x20
	allSeals        = sealSeal | sealShrink | sealGrow | sealWrite | sealFutureWrite | sealExec
)

// seals are the file's: one that was not made to be sealed has F_SEAL_SEAL.
func (o *tmpOpen) seals() uint32 {
	o.f.mu.RLock()
	defer o.f.mu.RUnlock()
	if !o.f.sealable {
		return sealSeal
	}
	return o.f.seal
}

// addSeals is F_ADD_SEALS. EPERM: it was not made to be sealed, or no more. EBUSY: it is mapped shared,
// so that writes cannot be prevented.
func (o *tmpOpen) addSeals(add uint32) syscall.Errno {
	f := o.f
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case add&^allSeals != 0:
		return syscall.EINVAL
	case !f.sealable || f.seal&sealSeal != 0:
		return syscall.EPERM
	case add&sealWrite != 0 && f.seal&sealWrite == 0 && f.data.mapped > 0:
		return syscall.EBUSY
	}
	if add&sealExec != 0 && f.mode&0o111 != 0 {
		add |= sealShrink | sealGrow | sealWrite | sealFutureWrite
	}
	f.seal |= add
	return 0
}

// sealedFor reports whether a write that ends at offset end is refused. mu is held.
func (f *tmpFile) sealedFor(end int64) bool {
	return f.seal&(sealWrite|sealFutureWrite) != 0 || f.seal&sealGrow != 0 && end > f.data.size
}

// sealedAttr refuses changes of the size and of the execute bits. mu is held.
func (f *tmpFile) sealedAttr(c AttrChange) syscall.Errno {
	size := c.Mask&AttrSize != 0
	switch {
	case size && c.Size < f.data.size && f.seal&sealShrink != 0,
		size && c.Size > f.data.size && f.seal&sealGrow != 0,
		c.Mask&AttrMode != 0 && f.seal&sealExec != 0 && (c.Mode^f.mode)&0o111 != 0:
		return syscall.EPERM
	}
	return 0
}
