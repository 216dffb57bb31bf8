package inside

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A Mount is a line of /proc/mounts (fstab(5)).
type Mount struct {
	Source  string `json:"source"`
	Path    string `json:"path"`
	Type    string `json:"type"`
	Options string `json:"options"`
}

// Mounts asks for the mounted file systems.
func (s *Session) Mounts() ([]Mount, error) {
	text, err := s.Text("read /proc/1/mounts")
	if err != nil {
		return nil, err
	}
	return parseMounts(text), nil
}

func parseMounts(text string) []Mount {
	list := []Mount{}
	plain := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) >= 4 {
			list = append(list, Mount{plain.Replace(f[0]), plain.Replace(f[1]), f[2], f[3]})
		}
	}
	return list
}

// An OpenFile is a descriptor of the program.
type OpenFile struct {
	FD       int    `json:"fd"`
	Name     string `json:"name"`     // as the link /proc/self/fd/FD
	Position int64  `json:"position"` // in bytes
	Flags    string `json:"flags"`    // of open(2), octal
	Inode    uint64 `json:"inode"`
}

// Files asks for the open files.
func (s *Session) Files() ([]OpenFile, error) {
	text, err := s.Text("files")
	if err != nil {
		return nil, err
	}
	return parseFiles(text), nil
}

// parseFiles reads what kernel.OpenFiles makes.
func parseFiles(text string) []OpenFile {
	list := []OpenFile{}
	for entry := range strings.SplitSeq(text, "\n\n") {
		head, info, _ := strings.Cut(entry, "\n")
		number, quoted, ok := strings.Cut(head, `"`)
		name, err := strconv.Unquote(`"` + quoted)
		fd, err2 := strconv.Atoi(number)
		if !ok || err != nil || err2 != nil {
			continue
		}
		f := OpenFile{FD: fd, Name: name}
		for line := range strings.Lines(info) {
			key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":\t")
			switch key {
			case "pos":
				f.Position, _ = strconv.ParseInt(value, 10, 64)
			case "flags":
				f.Flags = value
			case "ino":
				f.Inode, _ = strconv.ParseUint(value, 10, 64)
			}
		}
		list = append(list, f)
	}
	return list
}

// Messages asks for the lines that the kernel has logged, and returns them as dmesg(1) prints them.
func (s *Session) Messages() (string, error) {
	text, err := s.Text("read /dev/kmsg")
	return parseMessages(text), err
}

// parseMessages reads records of /dev/kmsg: priority, number, microseconds and flags with commas between them, and the text after a
// semicolon.
func parseMessages(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		head, message, ok := strings.Cut(line, ";")
		f := strings.Split(head, ",")
		if !ok || len(f) < 3 {
			continue
		}
		us, err := strconv.ParseUint(f[2], 10, 63)
		if err != nil {
			continue
		}
		fmt.Fprintf(&b, "[%12.6f] %s", (time.Duration(us%(1<<50)) * time.Microsecond).Seconds(), message)
	}
	return b.String()
}
