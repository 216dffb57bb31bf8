package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/yolk-unikernel/yolk/tools/internal/diskimage"
)

func TestDiskCommand(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	os.MkdirAll("from/sub", 0o755)
	os.WriteFile("from/sub/file", []byte("content"), 0o644)
	got := yolk(t, "disk", "create", "-size", "20M", "data.img", "-label", "data", "-from", "from", "-json")
	var r diskimage.Result
	if err := json.Unmarshal([]byte(got.out), &r); err != nil || got.status != 0 || r.Size != 20<<20 || r.Files != 2 || r.Free < 5<<20 || r.File != "data.img" || len(r.UUID) != 36 {
		t.Errorf("create: %+v, %v", got, err)
	}
	if info, err := os.Stat("data.img"); err != nil || info.Size() != 20<<20 {
		t.Errorf("the file: %v, %v", info, err)
	}
	if got = yolk(t, "disk", "create", "-size=20M", "-force", "data.img"); got.status != 0 || !strings.HasPrefix(got.out, "data.img: ext4, 20 MiB, ") {
		t.Errorf("create -force: %+v", got)
	}
	got = yolk(t, "disk", "create", "-type", "erofs", "-from", "from", "sealed.img", "-json")
	if r = (diskimage.Result{}); json.Unmarshal([]byte(got.out), &r) != nil || got.status != 0 || r.Type != "erofs" || r.Files != 2 || r.Size == 0 || r.Size > 64<<10 {
		t.Errorf("create -type erofs: %+v", got)
	}
	if got = yolk(t, "disk", "create", "-type", "erofs", "-from", "from", "-force", "sealed.img"); got.status != 0 || !strings.HasPrefix(got.out, "sealed.img: erofs, 2 files, ") {
		t.Errorf("create -type erofs -force: %+v", got)
	}
	if _, err := exec.LookPath("fsck.erofs"); err != nil {
		t.Log("fsck.erofs is not installed: sealed images are not checked")
	} else if got = yolk(t, "disk", "check", "sealed.img"); got.status != 0 {
		t.Errorf("check of a sealed image: %+v", got)
	}
	for _, tt := range []struct {
		args   string
		status int
		want   string
	}{
		{"disk", 2, "want create or check"},
		{"disk burn", 2, "want create or check"},
		{"disk create", 2, "name the file"},
		{"disk create a b", 2, "b is one file too many"},
		{"disk create -size 1 a", 2, "16 MiB or more"},
		{"disk create -size x a", 2, "such as 256M or 1G"},
		{"disk create -sizes 1 a", 2, "not defined: -sizes"},
		{"disk create -type xfs a", 2, "want ext4 or erofs"},
		{"disk create -type erofs a", 2, "name it with -from DIR"},
		{"disk create -type erofs -from from -size 1G a", 2, "-size and -label are for ext4"},
		{"disk create -type erofs -from from sealed.img", 1, "sealed.img exists; -force replaces it"},
		{"disk create data.img", 1, "data.img exists; -force replaces it"},
		{"disk create -from data.img a", 1, "data.img is not a folder"},
		{"disk create -from none a", 1, "no such file or directory"},
		{"disk create none/a", 1, "no such file or directory"},
		{"disk create -force " + dir, 1, "is no regular file"},
		{"disk check", 2, "name one disk"},
		{"disk check none", 1, "none: no such file or directory"},
	} {
		got := yolk(t, strings.Fields(tt.args)...)
		if got.status != tt.status || !strings.Contains(got.err, tt.want) || strings.Count(got.err, "\n") != 1 || got.out != "" {
			t.Errorf("yolk %s: %+v; want status %d and one line with %q", tt.args, got, tt.status, tt.want)
		}
	}
	if left, _ := filepath.Glob("*.part-*"); len(left) != 0 {
		t.Errorf("left over: %q", left)
	}
}
