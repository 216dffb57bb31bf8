package bom

import (
	"io"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"

	"github.com/yolk-unikernel/yolk"
)

// CycloneDX writes a CycloneDX 1.6 document (ECMA-424) in JSON.
func (im *Image) CycloneDX(w io.Writer) error {
	b := cdx.NewBOM()
	b.SerialNumber = "urn:uuid:" + im.uuid()
	b.Metadata = &cdx.Metadata{
		Timestamp: im.Built.Format(time.RFC3339),
		Tools: &cdx.ToolsChoice{Components: &[]cdx.Component{{
			Type: cdx.ComponentTypeApplication, Name: "yolk", Version: yolk.Version,
		}}},
		Component: &cdx.Component{
			BOMRef: "image", Type: cdx.ComponentTypeApplication, Name: im.Name, Description: im.Package,
			Hashes: &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: im.SHA256}},
		},
	}
	components, refs := []cdx.Component{}, []string{}
	for _, p := range im.Parts {
		c := cdx.Component{
			BOMRef: p.url(), Type: cdx.ComponentTypeLibrary, Name: p.Path, Version: p.Version, PackageURL: p.url(),
		}
		if p.Sum != "" {
			c.Properties = &[]cdx.Property{{Name: "go.sum", Value: p.Sum}}
		}
		if e := p.License.expression(); e != "" {
			c.Licenses = &cdx.Licenses{{Expression: e}}
		}
		components, refs = append(components, c), append(refs, c.BOMRef)
	}
	b.Components = &components
	b.Dependencies = &[]cdx.Dependency{{Ref: "image", Dependencies: &refs}}
	return cdx.NewBOMEncoder(w, cdx.BOMFileFormatJSON).SetPretty(true).EncodeVersion(b, cdx.SpecVersion1_6)
}

// uuid returns a UUID (RFC 9562, version 8) that follows from the image.
func (im *Image) uuid() string {
	s := []byte(im.SHA256[:32])
	s[12], s[16] = '8', '8'
	return string(s[:8]) + "-" + string(s[8:12]) + "-" + string(s[12:16]) + "-" + string(s[16:20]) + "-" + string(s[20:])
}
