package toolchain

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"syscall"
	"time"
)

// A Cached is a part of the cache folder that can be removed by itself: what needs it makes it again.
type Cached struct {
	Path string    `json:"path"`
	Kind string    `json:"kind"`  // Toolchain and so on
	Size int64     `json:"bytes"` // on the disk
	Used time.Time `json:"used"`  // last, as far as that can be told
}

// Kinds of Cached.
const (
	KindToolchain  = "toolchain"
	KindBuildCache = "build cache"
	KindImage      = "image"
	KindOther      = "other" // not known: YOLK_CACHE may be a folder that has more
)

// Cache lists what is in the cache folder, the largest first.
func Cache() ([]Cached, error) {
	base, err := CacheDir()
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(base)
	if os.IsNotExist(err) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	users := cacheUsers(base)
	toolchain := regexp.MustCompile(`^go1\.[0-9a-z.]+-[0-9a-f]{12}$`)
	buildCache := regexp.MustCompile(`^cache-go1\.[0-9a-z.]+-([0-9a-f]{12}|host)$`)
	var list []Cached
	for _, e := range entries {
		path := filepath.Join(base, e.Name())
		switch {
		case e.Name() == "images":
			images, err := os.ReadDir(path)
			if err != nil {
				return nil, err
			}
			for _, i := range images {
				list = append(list, measure(filepath.Join(path, i.Name()), KindImage))
			}
		case !e.IsDir():
		case buildCache.MatchString(e.Name()):
			c := measure(path, KindBuildCache)
			if used := users[path]; used.After(c.Used) {
				c.Used = used
			}
			list = append(list, c)
		case toolchain.MatchString(e.Name()):
			c := measure(path, KindToolchain)
			if info, err := os.Stat(filepath.Join(path, doneFile)); err == nil {
				c.Used = info.ModTime()
			}
			list = append(list, c)
		default:
			list = append(list, measure(path, KindOther))
		}
	}
	slices.SortStableFunc(list, func(a, b Cached) int { return int(min(max(b.Size-a.Size, -1), 1)) })
	return list, nil
}

// cacheUsers says when a toolchain that uses a build cache was used last.
func cacheUsers(base string) map[string]time.Time {
	users := map[string]time.Time{}
	dirs, _ := filepath.Glob(filepath.Join(base, "go1.*"))
	for _, d := range dirs {
		link, err := os.Readlink(filepath.Join(d, cacheLink))
		info, missing := os.Stat(filepath.Join(d, doneFile))
		if err == nil && missing == nil && info.ModTime().After(users[link]) {
			users[link] = info.ModTime()
		}
	}
	return users
}

// measure adds up the files below path; it was used when its folder or, of an image, a file was changed last.
func measure(path, kind string) Cached {
	c := Cached{Path: path, Kind: kind}
	filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // gone meanwhile
		}
		info, err := d.Info()
		if err != nil {
			return nil
		}
		if !d.IsDir() {
			c.Size += blocks(info)
		}
		if (p == path || kind == KindImage) && info.ModTime().After(c.Used) {
			c.Used = info.ModTime()
		}
		return nil
	})
	return c
}

// blocks returns what a file takes on the disk, in bytes.
func blocks(info fs.FileInfo) int64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Blocks * 512
	}
	return info.Size()
}

// Prune removes what yolk has made and was not used for a time, and returns it. It waits for a toolchain that is being built. A
// build cache is used as long as a toolchain is that uses it.
func Prune(age time.Duration, progress io.Writer) (removed []Cached, err error) {
	base, err := CacheDir()
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(base); os.IsNotExist(err) {
		return nil, nil
	}
	unlock, err := lock(filepath.Join(base, "lock"), progress)
	if err != nil {
		return nil, err
	}
	defer unlock()
	list, err := Cache()
	if err != nil {
		return nil, err
	}
	for _, c := range list {
		if c.Kind == KindOther || time.Since(c.Used) < age {
			continue
		}
		if err := removeAll(c.Path); err != nil {
			return removed, err
		}
		removed = append(removed, c)
	}
	return removed, nil
}
