package erofs

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/yolk-unikernel/yolk/kernel/fs/block/blocktest"
)

// What cannot be mounted is refused with the reason.
func TestRefused(t *testing.T) {
	dir := folder(t)
	good := images(t, dir)["library"]
	zeroes := make([]byte, 1<<20)
	bits := bytes.Clone(good)
	bits[superblockAt+12] = 40
	cases := map[string][]byte{
		"cut short": good[:len(good)/8192*4096], "superblock": good[:1024], "blocks of 2^0 bytes": zeroes, "blocks of 2^40 bytes": bits,
	}
	for want, args := range map[string][]string{
		"without compression": {"-zlz4"}, "extra devices": {"--chunksize=65536", "--blobdev=" + filepath.Join(t.TempDir(), "blob")},
	} {
		if image := made(t, dir, args...); image != nil {
			cases[want] = image
		}
	}
	for want, image := range cases {
		if _, err := mount(t, blocktest.FromBytes(image, 512)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v; want %q", err, want)
		}
	}
}

// made returns an image of mkfs.erofs; nil if it cannot make one.
func made(t *testing.T, dir string, args ...string) []byte {
	t.Helper()
	name := filepath.Join(t.TempDir(), "image")
	if out, err := exec.Command("mkfs.erofs", append(args, name, dir)...).CombinedOutput(); err != nil {
		t.Logf("no image of mkfs.erofs %q: %v %s", args, err, out)
		return nil
	}
	return padded(t, name)
}

// Files in chunks without an index cannot be opened, the rest of such an image is served.
func TestChunksWithoutIndex(t *testing.T) {
	dir := folder(t)
	image := made(t, dir, "--chunksize=65536")
	if image == nil {
		t.Skip("mkfs.erofs makes no images in chunks")
	}
	f, err := mount(t, blocktest.FromBytes(image, 512))
	if err != nil {
		t.Fatal(err)
	}
	n, e := f.node("sub/deep/file8")
	if e != 0 {
		t.Fatal(e)
	}
	var st syscall.Stat_t
	if n.Stat(&st); st.Size == 0 {
		t.Errorf("stat: %+v", st)
	}
	if _, e := n.Open(syscall.O_RDONLY); e != syscall.EIO {
		t.Errorf("open: %v; want EIO", e)
	}
}
