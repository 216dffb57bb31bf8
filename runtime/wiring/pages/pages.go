// Package pages has the machine's page cache, which disks and mapped files of folders share.
package pages

import (
	"sync"

	"github.com/yolk-unikernel/yolk/kernel/fs/pagecache"
	"github.com/yolk-unikernel/yolk/runtime/wiring"
)

var (
	mu    sync.Mutex
	cache *pagecache.Cache
	owner any // of cache: tests have several kernels
)

// Cache returns the page cache, which is made when it is first asked for.
func Cache() *pagecache.Cache {
	mu.Lock()
	defer mu.Unlock()
	if owner != any(wiring.Kernel) {
		owner = wiring.Kernel
		cache = pagecache.New(wiring.CacheMachine{})
		if irq := wiring.NewInterrupt(); irq != nil {
			go cache.ServeStores(irq.Device(), irq.Wait)
		}
	}
	return cache
}
