// Package vmlog keeps the console of a VM in files that are bounded together. A file log.N has what
// the guest wrote, byte for byte, with a time stamp in front of each line:
//
//	2026-11-30T22:38:12.123456Z listening on :8080
//
// A stamp has always the same length. The number N grows, and the two newest files stay, so that a
// reader can tell what it has missed. A file that does not end with a line break is continued by the
// next one, whose first stamp is then none of a line. Each write reaches the kernel before Write
// returns: what was written survives the death of the process, and of QEMU. Start with [Open] and
// [NewReader].
package vmlog

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// MaxFile is the size at which a file is full, in bytes. Two files stay.
	MaxFile = 10 << 20
	// stampForm is the form of a time stamp, RFC 3339 in UTC; a space follows it.
	stampForm = "2006-01-02T15:04:05.000000Z"
	stampLen  = len(stampForm) + 1
)

func stamp(t time.Time) string { return t.UTC().Format(stampForm) + " " }

func fileName(dir string, n int) string { return filepath.Join(dir, fmt.Sprintf("log.%d", n)) }

// numbers returns the numbers of the files in a folder, ascending.
func numbers(dir string) ([]int, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var list []int
	for _, e := range entries {
		s, ok := strings.CutPrefix(e.Name(), "log.")
		if n, err := strconv.Atoi(s); ok && err == nil && n > 0 {
			list = append(list, n)
		}
	}
	slices.Sort(list)
	return list, nil
}
