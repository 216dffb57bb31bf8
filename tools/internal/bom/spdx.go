package bom

import (
	"fmt"
	"io"
	"time"

	"github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdx"
	"github.com/spdx/tools-golang/spdx/v2/common"

	"github.com/yolk-unikernel/yolk"
)

const unknown = "NOASSERTION" // SPDX 2.3, 7.13

// SPDX writes an SPDX 2.3 document (ISO/IEC 5962) in JSON.
func (im *Image) SPDX(w io.Writer) error {
	image := &spdx.Package{
		PackageName: im.Name, PackageSPDXIdentifier: "Image", PackageFileName: im.Name, PackageDownloadLocation: unknown,
		PackageChecksums: []common.Checksum{{Algorithm: common.SHA256, Value: im.SHA256}}, PackageSummary: im.Package,
		PackageLicenseConcluded: unknown, PackageLicenseDeclared: unknown, PackageCopyrightText: unknown,
		PrimaryPackagePurpose: "APPLICATION",
	}
	doc := &spdx.Document{
		SPDXVersion: spdx.Version, DataLicense: spdx.DataLicense, SPDXIdentifier: "DOCUMENT", DocumentName: im.Name,
		DocumentNamespace: "https://github.com/yolk-unikernel/yolk/sbom/" + im.uuid(),
		CreationInfo: &spdx.CreationInfo{
			Created:  im.Built.UTC().Format(time.RFC3339),
			Creators: []common.Creator{{CreatorType: "Tool", Creator: "yolk-" + yolk.Version}},
		},
		Packages:      []*spdx.Package{image},
		Relationships: []*spdx.Relationship{relation("DOCUMENT", "DESCRIBES", "Image")},
	}
	for i, p := range im.Parts {
		id := common.ElementID(fmt.Sprintf("Part-%d", i))
		license := p.License.expression()
		if license == "" {
			license = unknown
		}
		part := &spdx.Package{
			PackageName: p.Path, PackageSPDXIdentifier: id, PackageVersion: p.Version, PackageDownloadLocation: unknown,
			PackageLicenseConcluded: unknown, PackageLicenseDeclared: license, PackageCopyrightText: unknown,
			PackageExternalReferences: []*spdx.PackageExternalReference{{
				Category: "PACKAGE-MANAGER", RefType: "purl", Locator: p.url(),
			}},
		}
		if p.Sum != "" {
			part.PackageComment = "go.sum: " + p.Sum
		}
		doc.Packages = append(doc.Packages, part)
		doc.Relationships = append(doc.Relationships, relation("Image", "CONTAINS", id))
	}
	return json.Write(doc, w, json.Indent("  "))
}

func relation(from common.ElementID, kind string, to common.ElementID) *spdx.Relationship {
	return &spdx.Relationship{
		RefA: common.MakeDocElementID("", string(from)), Relationship: kind, RefB: common.MakeDocElementID("", string(to)),
	}
}
