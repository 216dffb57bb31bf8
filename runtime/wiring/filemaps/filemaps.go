// Package filemaps makes mmap(2) of the files of the host's folders show the page cache. It is linked into
// programs that may map files: those with a package outside of the standard library that imports syscall
// or golang.org/x/sys/unix (runtime/machine/linked).
package filemaps

import (
	"github.com/yolk-unikernel/yolk/kernel/fs/p9fs"
	"github.com/yolk-unikernel/yolk/kernel/fs/pagecache"
	"github.com/yolk-unikernel/yolk/runtime/wiring"
	"github.com/yolk-unikernel/yolk/runtime/wiring/pages"
)

func init() {
	wiring.Kernel.EnableMappers()
	p9fs.NewCache = func(b pagecache.Backing, size int64) p9fs.PageCache { return pages.Cache().NewFile(b, size) }
}
