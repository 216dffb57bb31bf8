package debian

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"
)

// cpio(1) reads the archive, where it is installed.
func TestCpio(t *testing.T) {
	var c cpio
	c.directory("m")
	c.file("m/order", 0o644, []byte("one\n"))
	c.file("init", 0o755, []byte("#!"))
	b := c.bytes()
	if len(b)%4 != 0 || !bytes.HasPrefix(b, []byte("070701")) {
		t.Errorf("the archive of %d bytes begins with %q", len(b), b[:6])
	}
	tool, err := exec.LookPath("cpio")
	if err != nil {
		t.Skip("no cpio on this host to read it back")
	}
	cmd := exec.Command(tool, "-tv")
	cmd.Stdin = bytes.NewReader(b)
	out, err := cmd.Output()
	if err != nil || !strings.Contains(string(out), "m/order") || !strings.Contains(string(out), "-rwxr-xr-x") {
		t.Errorf("cpio -tv = %s, %v", out, err)
	}
}

func TestKernelModuleDependencies(t *testing.T) {
	if _, err := dependencies([]byte("not an object file")); err == nil {
		t.Error("dependencies of garbage: no error")
	}
}
