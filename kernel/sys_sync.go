package kernel

import "syscall"

// sysFsync is fsync(2).
func sysFsync(k *Kernel, a Args) (uintptr, syscall.Errno) { return 0, k.syncFD(&a, false) }

// sysFdatasync is fdatasync(2).
func sysFdatasync(k *Kernel, a Args) (uintptr, syscall.Errno) { return 0, k.syncFD(&a, true) }

func (k *Kernel) syncFD(a *Args, dataOnly bool) syscall.Errno {
	d, e := k.get(a, 0)
	if e != 0 {
		return e
	}
	defer d.DecRef()
	s, ok := d.file.(Syncer)
	if !ok {
		return syscall.EINVAL
	}
	k.maps.writeBack(k, d.file)
	return s.Sync(dataOnly)
}

// sysSync is sync(2).
func sysSync(k *Kernel, a Args) (uintptr, syscall.Errno) {
	k.tree()
	for _, m := range k.vfs.mountList() {
		m.fs.Sync()
	}
	return 0, 0
}

// sysSyncfs is syncfs(2).
func sysSyncfs(k *Kernel, a Args) (uintptr, syscall.Errno) {
	d, e := k.get(&a, 0)
	if e != 0 {
		return 0, e
	}
	defer d.DecRef()
	if d.where == nil || d.where.mnt == nil {
		return 0, 0
	}
	return 0, d.where.mnt.fs.Sync()
}

// sysSyncFileRange is sync_file_range(2): it syncs the whole file.
func sysSyncFileRange(k *Kernel, a Args) (uintptr, syscall.Errno) {
	const waitBefore, write, waitAfter = 1, 2, 4 // SYNC_FILE_RANGE_*
	if uint32(a.N[3])&^(waitBefore|write|waitAfter) != 0 || int64(a.N[1]) < 0 || int64(a.N[2]) < 0 {
		return 0, syscall.EINVAL
	}
	e := k.syncFD(&a, true)
	if e == syscall.EINVAL {
		e = syscall.ESPIPE
	}
	return 0, e
}
