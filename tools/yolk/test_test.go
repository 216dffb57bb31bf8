package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestSplitTestArgs(t *testing.T) {
	for in, want := range map[string]testArgs{
		"./...":                              {test: []string{"./..."}},
		"-m 1G -v ./a":                       {vm: []string{"-m", "1G"}, test: []string{"-v", "./a"}},
		"-run X -smp=4 -count 2 ./a -v":      {vm: []string{"-smp=4"}, test: []string{"-run", "X", "-count", "2", "./a", "-v"}},
		"-tags a,b -covermode=set ./a":       {test: []string{"-tags", "a,b", "-covermode=set", "./a"}},
		"-run -m ./a":                        {test: []string{"-run", "-m", "./a"}},
		"-test.run -m -json . -m 3":          {test: []string{"-test.run", "-m", "-json", ".", "-m", "3"}},
		"-short -args -m x":                  {test: []string{"-short", "-args", "-m", "x"}},
		"-C /x -m 64M .":                     {vm: []string{"-m", "64M"}, test: []string{"."}, dir: "/x"},
		"-m 64M -C=/x --cover -qemu-arg a .": {vm: []string{"-m", "64M", "-qemu-arg", "a"}, test: []string{"--cover", "."}, dir: "/x"},
	} {
		got, err := splitTestArgs(strings.Fields(in))
		if err != nil || !slices.Equal(got.vm, want.vm) || !slices.Equal(got.test, want.test) || got.dir != want.dir {
			t.Errorf("%s: %+v, %v; want %+v", in, got, err, want)
		}
	}
	for in, refused := range map[string]bool{
		"-fuzz FuzzX .": true, "-m 64M . --fuzz=FuzzX": true, "-run X -test.fuzz=. ./a": true,
		"-fuzztime 5s .": false, ". -args -fuzz X": false,
	} {
		if _, err := splitTestArgs(strings.Fields(in)); errors.Is(err, errFuzz) != refused {
			t.Errorf("%s: error %v; refused: %v", in, err, refused)
		}
	}
	dir := t.TempDir()
	t.Chdir(dir)
	if err := os.WriteFile("d.img", []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := splitTestArgs(strings.Fields("-disk d.img:/data:ro -v ./a"))
	if want := []string{"-disk", dir + "/d.img:/data:ro"}; err != nil || !slices.Equal(got.vm, want) || !got.disk || got.packages != 1 {
		t.Errorf("-disk: %+v, %v; want %q", got, err, want)
	}
	for _, in := range []string{"-m", "-m 1", "-smp x", "-C"} {
		if _, err := splitTestArgs(strings.Fields(in)); err == nil {
			t.Errorf("%s: no error", in)
		}
	}
}

func TestHostFolders(t *testing.T) {
	top := t.TempDir()
	for _, dir := range []string{"mod/pkg/testdata", "loose", "build/b001/gocoverdir", "build/b002/exe", "out", "cover"} {
		if err := os.MkdirAll(filepath.Join(top, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(top, "mod/go.mod"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	at := func(list ...string) []string {
		for i, s := range list {
			list[i] = strings.ReplaceAll(s, "@", top)
		}
		return list
	}
	for _, tt := range []struct {
		dir             string
		args, env, want []string
	}{
		{"@/mod/pkg", []string{"@/build/b002/exe/app"}, nil, []string{"@/mod", "@/build/b002/exe"}},
		{"@/loose", []string{"./app"}, []string{"GOCOVERDIR=@/cover", "A=@/out"}, []string{"@/loose", "@/cover"}},
		{"@/mod/pkg", []string{"@/build/b001/pkg.test", "-test.v", "-test.testlogfile=@/build/b001/testlog.txt", "-test.gocoverdir=@/build/b001/gocoverdir",
			"-test.coverprofile=@/build/b001/_cover_.out", "-test.outputdir=@/mod/pkg", "-test.cpuprofile=cpu.out", "-test.trace=@/none/trace", "x=@/out"},
			nil, []string{"@/mod", "@/build/b001"}},
		{"@/mod/pkg", []string{"@/mod/pkg/pkg.test", "-test.outputdir=@/out/"}, nil, []string{"@/mod", "@/out"}},
	} {
		got := hostFolders(at(tt.dir)[0], at(tt.args...), at(tt.env...))
		if want := at(tt.want...); !slices.Equal(got, want) {
			t.Errorf("%s %v: %v; want %v", tt.dir, tt.args, got, want)
		}
	}
	if got := hostFolders("/", []string{"/app"}, nil); len(got) != 0 {
		t.Errorf("at the root: %v; nothing can be mounted there", got)
	}
}
