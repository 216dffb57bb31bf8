package ext4

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// tree makes files of many kinds in a directory of the host.
func tree(t *testing.T) string {
	dir := t.TempDir()
	put := func(name string, data []byte) {
		path := filepath.Join(dir, name)
		os.MkdirAll(filepath.Dir(path), 0o755)
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range []int{0, 1, 511, 1024, 4095, 4096, 4097, 70000, 1 << 20} {
		put("size"+strconv.Itoa(n), pattern(n, n))
	}
	f, _ := os.Create(filepath.Join(dir, "sparse"))
	for k := range 20 {
		f.WriteAt(pattern(k, 5000), int64(k*k)*40000)
	}
	f.Truncate(30 << 20)
	f.Close()
	for k := range 2000 {
		put(fmt.Sprintf("many/name of an entry %d", k), []byte(strconv.Itoa(k)))
	}
	put("a/b/c/d/e/f", []byte("deep"))
	os.Symlink("a/b", filepath.Join(dir, "short"))
	os.Symlink(strings.Repeat("long/", 40), filepath.Join(dir, "long"))
	os.Symlink(strings.Repeat("x", 59), filepath.Join(dir, "fast"))
	os.Symlink(strings.Repeat("x", 60), filepath.Join(dir, "slow"))
	return dir
}

// compare checks every file of a directory of the host.
func compare(t *testing.T, f *FS, dir string) {
	t.Helper()
	seen := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		seen++
		rel, _ := filepath.Rel(dir, path)
		if rel == "." {
			rel = ""
		}
		compareOne(t, f, path, rel, d)
		return nil
	})
	if err != nil || seen < 2000 {
		t.Fatal(seen, err)
	}
}

func compareOne(t *testing.T, f *FS, path, rel string, d fs.DirEntry) {
	t.Helper()
	i := walk(t, f, rel)
	defer i.Put()
	switch {
	case d.IsDir():
		entries, _ := os.ReadDir(path)
		want := map[string]bool{}
		for _, e := range entries {
			want[e.Name()] = true
		}
		for _, name := range names(t, i) {
			if !want[name] && name != "lost+found" {
				t.Fatalf("%s: name %q is new or there twice", rel, name)
			}
			delete(want, name)
		}
		if len(want) > 0 {
			t.Fatalf("%s: names are missing: %v", rel, want)
		}
	case d.Type()&fs.ModeSymlink != 0:
		want, _ := os.Readlink(path)
		got, e := i.Readlink()
		if e != 0 || got != want {
			t.Fatalf("%s: link to %q, %v; want %q", rel, got, e, want)
		}
	default:
		want, _ := os.ReadFile(path)
		got, e := readAll(i)
		ok(t, e)
		same(t, rel, got, want)
		info, _ := d.Info()
		if a := i.Attr(); a.Mtime/1e9 != info.ModTime().Unix() || a.Nlink != 1 || a.Mode&0xfff != 0o644 {
			t.Fatalf("%s: %+v", rel, a)
		}
	}
}

var layouts = map[string][]string{
	"default":    {},
	"1k":         {"-b", "1024"},
	"2k":         {"-b", "2048"},
	"inode128":   {"-I", "128", "-b", "4096"},
	"inode512":   {"-I", "512"},
	"nocsum":     {"-O", "^metadata_csum"},
	"gdtcsum":    {"-O", "^metadata_csum,uninit_bg"},
	"no64":       {"-O", "^64bit"},
	"gdtcsum32":  {"-O", "^metadata_csum,^64bit,uninit_bg", "-b", "1024"},
	"seed":       {"-O", "metadata_csum_seed", "-U", "6a7d0fe2-7b7d-4b6c-8f0e-9d6ba4a0b6a1"},
	"orphanfile": {"-O", "orphan_file", "-b", "1024"},
	"largedir":   {"-O", "large_dir"},
	"sparse2":    {"-O", "sparse_super2,^resize_inode", "-b", "1024"},
	"metabg":     {"-O", "meta_bg,^resize_inode", "-b", "1024"},
	"noflex":     {"-O", "^flex_bg", "-b", "1024"},
	"smallgroup": {"-b", "1024", "-g", "1024", "-O", "^resize_inode"},
	"nofiletype": {"-O", "^filetype"},
	"tea":        {"-E", "hash_seed=6a7d0fe2-7b7d-4b6c-8f0e-9d6ba4a0b6a1"},
}

// each runs a test on every layout; with -short, on two.
func each(t *testing.T, f func(t *testing.T, args []string)) {
	for name, args := range layouts {
		if !testing.Short() || name == "default" || name == "1k" {
			t.Run(name, func(t *testing.T) { f(t, args) })
		}
	}
}

func TestRead(t *testing.T) {
	dir := tree(t)
	each(t, func(t *testing.T, args []string) {
		path := mkfs(t, "64M", append(args, "-d", dir)...)
		f := mount(t, device(t, path, true), Options{})
		compare(t, f, dir)
		unmount(t, f)
		for _, hash := range []string{"half_md4", "tea", "legacy"} {
			tool(t, "tune2fs", "-E", "hash_alg="+hash, path)
			tool(t, "e2fsck", "-fyD", path) // makes the indexes
			f = mount(t, device(t, path, true), Options{ReadOnly: true})
			many := walk(t, f, "many")
			if many.Attr().Flags&flagIndex == 0 {
				t.Error("no index")
			}
			many.Put()
			compare(t, f, dir)
			unmount(t, f)
		}
	})
}

func TestReadBlockMaps(t *testing.T) {
	dir := tree(t)
	for name, args := range map[string][]string{
		"ext2": {"-t", "ext2"}, "ext3": {"-t", "ext3", "-b", "1024"}, "map": {"-O", "^extent,^64bit", "-b", "1024"},
	} {
		t.Run(name, func(t *testing.T) {
			path := mkfs(t, "64M", append(args, "-d", dir)...)
			line := ""
			f := mount(t, device(t, path, false), Options{Log: func(s string) { line = s }})
			if !f.ReadOnly() || !strings.Contains(line, "read-only") {
				t.Error("not read-only: ", line)
			}
			compare(t, f, dir)
			unmount(t, f)
		})
	}
}
