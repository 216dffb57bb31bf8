// Package toolchain makes the Go distribution that builds tamago programs from a stock one: it
// copies GOROOT, applies the port (runtime/goroot), adds the kernel, the drivers, the
// netstack and their imports as standard packages, and rebuilds the two tools that change, go and
// link. Start reading at Ensure. docs/port.md explains the result.
package toolchain

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/yolk-unikernel/yolk"
)

// Options are the parameters of Ensure.
type Options struct {
	// Dir is the folder whose module decides which Go release is used; "" is the current
	// one.
	Dir string
	// Progress receives a line per step; nil is silent.
	Progress io.Writer
}

// Ensure returns the GOROOT of the patched distribution, which it builds if it does not exist. The
// distribution is cached by the stock version and the content of the port. Two processes may call
// it at once; one builds, the other waits.
func Ensure(ctx context.Context, opt Options) (dir string, err error) {
	if opt.Progress == nil {
		opt.Progress = io.Discard
	}
	stock, version, err := Select(ctx, opt.Dir, opt.Progress)
	if err != nil {
		return "", err
	}
	edits, err := PortEdits(version)
	if err != nil {
		return "", err
	}
	base, err := CacheDir()
	if err != nil {
		return "", err
	}
	key, toolsKey := contentKeys(version, edits)
	dir = filepath.Join(base, version+"-"+key)
	if complete(dir) {
		return dir, nil
	}
	if err := os.MkdirAll(base, 0o777); err != nil {
		return "", err
	}
	unlock, err := lock(filepath.Join(base, "lock"), opt.Progress)
	if err != nil {
		return "", err
	}
	defer unlock()
	if complete(dir) {
		return dir, nil
	}
	b := &builder{ctx: ctx, stock: stock, version: version, edits: edits, out: opt.Progress, final: dir,
		cache:     filepath.Join(base, "cache-"+version+"-"+toolsKey),
		hostCache: filepath.Join(base, "cache-"+version+"-host")}
	if err := b.build(); err != nil {
		return "", fmt.Errorf("toolchain: %w", err)
	}
	removeOthers(base, version, key, opt.Progress)
	return dir, nil
}

// GoCache returns the build cache of the distribution dir. The patched tools have the stock
// version, so they must not share a cache with the stock tools.
func GoCache(dir string) (string, error) {
	link, err := os.Readlink(filepath.Join(dir, cacheLink))
	if err != nil {
		return "", fmt.Errorf("toolchain %s is damaged (%w): run yolk toolchain clean", dir, err)
	}
	return link, nil
}

// CacheDir returns the folder of the distributions: YOLK_CACHE, or yolk below the user's cache
// directory.
func CacheDir() (string, error) {
	if d := os.Getenv("YOLK_CACHE"); d != "" {
		return filepath.Abs(d)
	}
	d, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no cache directory (%w): set YOLK_CACHE", err)
	}
	return filepath.Join(d, "yolk"), nil
}

// Clean removes every cached distribution and build cache.
func Clean() error {
	base, err := CacheDir()
	if err != nil {
		return err
	}
	return removeAll(base)
}

const (
	doneFile  = "yolk.done" // exists when the distribution is complete
	cacheLink = "yolk.cache"
)

// complete reports whether dir is complete, and records that it is used.
func complete(dir string) bool {
	now := time.Now()
	return os.Chtimes(filepath.Join(dir, doneFile), now, now) == nil
}

// Key identifies the content of the port for a version such as go1.26.8: equal keys make equal
// distributions.
func Key(version string) (string, error) {
	edits, err := PortEdits(version)
	if err != nil {
		return "", err
	}
	key, _ := contentKeys(version, edits)
	return key, nil
}

// contentKeys returns the key of the whole port for a version and that of the part that changes the
// tools.
func contentKeys(version string, edits []FileEdit) (all, tools string) {
	h, t := sha256.New(), sha256.New()
	fs.WalkDir(yolk.Source, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || skipFile(path) || path == editsFile || path == releasesFile {
			return err
		}
		text, err := yolk.Source.ReadFile(path)
		fmt.Fprintf(h, "%s %d\n%s", path, len(text), text)
		if strings.Contains(path, "/src/cmd/") || strings.HasPrefix(path, "runtime/machine/linked/") ||
			path == "go.mod" || path == "go.sum" { // which the linker's list of modules comes from
			fmt.Fprintf(t, "%s %d\n%s", path, len(text), text)
		}
		return err
	})
	for _, w := range []io.Writer{h, t} {
		fmt.Fprintf(w, "%s %s %v", yolk.Version, version, edits)
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:6]), fmt.Sprintf("%x", t.Sum(nil)[:6])
}

// skipFile reports whether a file of the module is not part of the machine.
func skipFile(path string) bool {
	return strings.HasSuffix(path, "_test.go") || strings.Contains(path, "/testdata/") ||
		strings.HasSuffix(path, ".md")
}

// lock takes the file lock that serializes builds.
func lock(path string, out io.Writer) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o666)
	if err != nil {
		return nil, err
	}
	if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		fmt.Fprintln(out, "yolk: waiting for another yolk to finish the toolchain")
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
			f.Close()
			return nil, err
		}
	}
	return func() { f.Close() }, nil
}

// removeOthers deletes distributions with other content of the port for the same Go release that were
// not used for a day, since a build may still be running with a younger one; and the build caches that no
// distribution has used since then.
func removeOthers(base, version, key string, out io.Writer) {
	const day = 24 * time.Hour
	users := cacheUsers(base)
	var old []string
	all, _ := filepath.Glob(filepath.Join(base, version+"-*"))
	for _, d := range all {
		info, err := os.Stat(filepath.Join(d, doneFile))
		if d != filepath.Join(base, version+"-"+key) && (err != nil || time.Since(info.ModTime()) >= day) {
			old = append(old, d)
		}
	}
	caches, _ := filepath.Glob(filepath.Join(base, "cache-"+version+"-*"))
	for _, c := range caches {
		if !strings.HasSuffix(c, "-host") && time.Since(users[c]) >= day {
			old = append(old, c)
		}
	}
	for _, d := range old {
		if err := removeAll(d); err != nil {
			fmt.Fprintf(out, "yolk: %v\n", err)
		}
	}
}

// removeAll is os.RemoveAll for trees that may contain read-only folders.
func removeAll(dir string) error {
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			os.Chmod(path, 0o755)
		}
		return nil
	})
	return os.RemoveAll(dir)
}
