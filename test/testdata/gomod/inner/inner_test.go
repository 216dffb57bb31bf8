package inner

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "write the golden file")

func TestGolden(t *testing.T) {
	const golden = "testdata/golden.txt"
	if *update {
		if err := os.WriteFile(golden, []byte(Greeting("you")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil || string(want) != Greeting("you") {
		t.Errorf("golden file %q, %v; want %q", want, err, Greeting("you"))
	}
}

// The rest of the module is mounted, too.
func TestModule(t *testing.T) {
	files, err := filepath.Glob("../*.go")
	if err != nil || len(files) != 2 {
		t.Errorf("above: %v, %v; want two files", files, err)
	}
}

// So is the test binary.
func TestExecutable(t *testing.T) {
	name, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(name)
	if err != nil || !bytes.HasPrefix(b, []byte("\x7fELF")) {
		t.Errorf("%s: %d bytes, %v; want an ELF file", name, len(b), err)
	}
}
