package bom

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/spdx/tools-golang/json"
)

func sample() *Image {
	return &Image{
		Name: "app.elf", SHA256: strings.Repeat("0123456789abcdef", 4), Package: "example.com/app",
		Parts: []Part{
			{Path: "example.com/app", Version: "(devel)"},
			{Path: "golang.org/x/time", Version: "v0.15.0", Sum: "h1:x=", License: License{IDs: []string{"BSD-3-Clause"}}},
			{Path: "gvisor.dev/gvisor", Version: "v0.0.0-1+incompatible", License: License{IDs: []string{"Apache-2.0", "MIT"}}},
			{Path: "stdlib", Version: "1.26.8"},
		},
	}
}

// The document is what the published schema of CycloneDX says, which comes with the library.
func TestCycloneDXSchema(t *testing.T) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/CycloneDX/cyclonedx-go").Output()
	if err != nil {
		t.Fatal(err)
	}
	schema := jsonschema.NewCompiler()
	dir := filepath.Join(strings.TrimSpace(string(out)), "schema")
	for _, name := range []string{"spdx.schema.json", "jsf-0.82.schemax.json", "bom-1.6.schema.json"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		schema.AddResource("http://cyclonedx.org/schema/"+strings.Replace(name, "schemax", "schema", 1), doc)
	}
	s, err := schema.Compile("http://cyclonedx.org/schema/bom-1.6.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := sample().CycloneDX(&b); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	doc, err := jsonschema.UnmarshalJSON(&b)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(doc); err != nil {
		t.Errorf("%v\n%s", err, text)
	}
	for _, want := range []string{`"purl": "pkg:golang/golang.org/x/time@v0.15.0"`, `"expression": "Apache-2.0 AND MIT"`, `@v0.0.0-1%2Bincompatible"`} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
}

// The SPDX library reads the document back with every part, and relates each to the image.
func TestSPDX(t *testing.T) {
	var b bytes.Buffer
	if err := sample().SPDX(&b); err != nil {
		t.Fatal(err)
	}
	doc, err := json.Read(bytes.NewReader(b.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if len(doc.Packages) != 5 || len(doc.Relationships) != 5 || doc.Packages[2].PackageLicenseDeclared != "BSD-3-Clause" || doc.Packages[1].PackageLicenseDeclared != "NOASSERTION" {
		t.Errorf("read back %d packages, %d relationships:\n%s", len(doc.Packages), len(doc.Relationships), b.String())
	}
	var again bytes.Buffer
	if sample().SPDX(&again); !bytes.Equal(b.Bytes(), again.Bytes()) {
		t.Error("the same image gives another document")
	}
}

func TestNotice(t *testing.T) {
	dir := t.TempDir()
	mit := "MIT License\n\nPermission is hereby granted, free of charge, to any person obtaining a copy of this software and associated documentation files (the \"Software\"), to deal in the Software without restriction, including without limitation the rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is furnished to do so, subject to the following conditions:\n\nThe above copyright notice and this permission notice shall be included in all copies or substantial portions of the Software.\n\nTHE SOFTWARE IS PROVIDED \"AS IS\", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.\n"
	for name, text := range map[string]string{"LICENSE": mit, "NOTICE.txt": "Thanks.\n## not a module\n", "license.go": "package x", "main.go": "package x"} {
		os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600)
	}
	l, err := Folder(dir)
	if err != nil || len(l.Files) != 2 || !slices.Equal(l.IDs, []string{"MIT"}) {
		t.Fatalf("Folder: %+v, %v", l, err)
	}
	text := WriteNotice("head\n", []Entry{{"a/b", "v1", l}, {"stdlib", "", l}})
	got, err := ReadNotice(text)
	if err != nil || len(got) != 2 || got[0].Path != "a/b" || got[0].Version != "v1" || got[1].Path != "stdlib" || got[1].Version != "" {
		t.Fatalf("ReadNotice: %+v, %v", got, err)
	}
	for i, f := range got[0].License.Files {
		if f.Text != l.Files[i].Text || f.Name != l.Files[i].Name {
			t.Errorf("%s came back as %s:\n%s", l.Files[i].Name, f.Name, f.Text)
		}
	}
	if !slices.Equal(got[1].License.IDs, []string{"MIT"}) {
		t.Errorf("licenses %q", got[1].License.IDs)
	}
	if _, err := ReadNotice("## a v1\ntext\n"); err == nil {
		t.Error("a text without a name is accepted")
	}
}
