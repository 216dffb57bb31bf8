package kernel

import (
	"strconv"
	"strings"
	"syscall"
)

// This file is /proc/self/fdinfo (proc_pid_fdinfo(5)).

// fdInformer is a file that has lines of its own there.
type fdInformer interface {
	appendFDInfo(b []byte) []byte
}

func (fs *genFS) fdInfo(fd int) Inode {
	return fs.newFile(genNode{fs: fs, ino: 2<<32 + uint64(fd), mode: syscall.S_IFREG | 0o400}, func(k *Kernel, b []byte) []byte {
		d, e := k.fds.get(fd)
		if e != 0 {
			return b
		}
		defer d.DecRef()
		return d.appendInfo(b)
	}, nil)
}

func (d *Description) appendInfo(b []byte) []byte {
	d.posMu.Lock()
	pos := d.pos
	d.posMu.Unlock()
	mount := int(anonMount)
	if d.where != nil {
		mount = d.where.mnt.id
	}
	var st syscall.Stat_t
	d.file.Stat(&st)
	b = append(b, "pos:\t"+strconv.FormatInt(pos, 10)+"\nflags:\t0"+strconv.FormatUint(uint64(uint32(d.flags.Load())), 8)+
		"\nmnt_id:\t"+strconv.Itoa(mount)+"\nino:\t"+utoa(st.Ino)+"\n"...)
	if f, ok := d.file.(fdInformer); ok {
		b = f.appendFDInfo(b)
	}
	return b
}

// appendFDInfo is eventfd_show_fdinfo of fs/eventfd.c.
func (f *eventFD) appendFDInfo(b []byte) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	b = append(b, "eventfd-count: "+pad16(f.count)+"\neventfd-id: "+utoa(f.id)+"\neventfd-semaphore: "...)
	if f.semaphore {
		return append(b, "1\n"...)
	}
	return append(b, "0\n"...)
}

// appendFDInfo is ep_show_fdinfo of fs/eventpoll.c.
func (ep *epoll) appendFDInfo(b []byte) []byte {
	ep.mu.Lock()
	defer ep.mu.Unlock()
	for _, it := range ep.items {
		var st syscall.Stat_t
		it.key.desc.file.Stat(&st)
		data := uint64(it.data[0]) | uint64(it.data[1])<<32
		b = append(b, "tfd: "+padLeft(strconv.Itoa(it.key.fd), 8)+" events: "+padLeft(hexText(uint64(it.events)), 8)+" data: "+pad16(data)+
			"  pos:0 ino:"+hexText(st.Ino)+" sdev:"+superDev(st.Dev)+"\n"...)
	}
	return b
}

// appendFDInfo is timerfd_show of fs/timerfd.c.
func (f *timerFD) appendFDInfo(b []byte) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	left, interval := f.left()
	pair := func(ns int64) string {
		return "(" + strconv.FormatInt(ns/1e9, 10) + ", " + strconv.FormatInt(ns%1e9, 10) + ")\n"
	}
	return append(b, "clockid: "+strconv.Itoa(f.clockID)+"\nticks: "+utoa(f.expired)+"\nsettime flags: 0"+strconv.FormatInt(int64(f.flags), 8)+
		"\nit_value: "+pair(left)+"it_interval: "+pair(interval)...)
}

// appendFDInfo is inotify_fdinfo of fs/notify/fdinfo.c, without the file handle.
func (in *inotify) appendFDInfo(b []byte) []byte {
	in.k.inotify.mu.Lock()
	defer in.k.inotify.mu.Unlock()
	for _, w := range in.watches {
		b = append(b, "inotify wd:"+hexText(uint64(w.wd))+" ino:"+hexText(w.key.ino)+" sdev:"+superDev(w.key.dev)+
			" mask:"+hexText(uint64(w.mask&syscall.IN_ALL_EVENTS))+" ignored_mask:0\n"...)
	}
	return b
}

// appendFDInfo is pidfd_show_fdinfo of fs/pidfs.c.
func (f *pidFD) appendFDInfo(b []byte) []byte {
	id := strconv.Itoa(max(f.thread, pid))
	return append(b, "Pid:\t"+id+"\nNSpid:\t"+id+"\n"...)
}

// superDev is a device number as the kernel itself keeps it (MKDEV of linux/kdev_t.h).
func superDev(dev uint64) string { return hexText(uint64(major(dev))<<20 | uint64(minor(dev))) }

func hexText(v uint64) string { return strconv.FormatUint(v, 16) }

func padLeft(s string, n int) string { return strings.Repeat(" ", max(n-len(s), 0)) + s }

// pad16 writes a number as %16llx.
func pad16(v uint64) string { return padLeft(hexText(v), 16) }
