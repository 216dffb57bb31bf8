package boot

// The configuration document is the first entry of the initial module (initrd), which is a newc
// cpio archive (cpio(5), "New ASCII Format"), and has the name ConfigName. Its text begins with
// the line ConfigVersion; words in the syntax of the command line follow, separated by white
// space. They have the same meaning there, but no other process of the host sees them.
const (
	ConfigName    = "yolk.config"
	ConfigVersion = "yolk 1\n"

	// MaxConfig is the largest document, in bytes: Linux's ARG_MAX.
	MaxConfig = 2 << 20
	// MaxCommandLine is the longest command line, in bytes.
	MaxCommandLine = 64 << 10

	newcHeader = 110 // the magic number and 13 fields of 8 hexadecimal digits
	newcSize   = 6 + 6*8
	newcName   = 6 + 11*8
)

// CutConfig returns the words of the configuration document, and the rest of the module, which is
// module itself if there is no document. why tells what is wrong with it.
func CutConfig(module []byte) (words, rest []byte, why string) {
	if len(module) < newcHeader+len(ConfigName)+1 || string(module[:6]) != "070701" ||
		string(module[newcHeader:newcHeader+len(ConfigName)+1]) != ConfigName+"\x00" {
		return nil, module, ""
	}
	size, ok1 := hex32(module[newcSize:])
	name, ok2 := hex32(module[newcName:])
	start := (newcHeader + len(ConfigName) + 1 + 3) &^ 3
	if !ok1 || !ok2 || int(name) != len(ConfigName)+1 || start > len(module) || uint64(size) > uint64(len(module)-start) {
		return nil, nil, "the configuration in the initial module is damaged"
	}
	if size > MaxConfig {
		return nil, nil, "the configuration in the initial module is larger than 2 MiB"
	}
	text := module[start : start+int(size)]
	words, ok := CutPrefix(text, ConfigVersion)
	if !ok {
		return nil, nil, "the configuration in the initial module is not of version 1; build the image and start it with the same yolk"
	}
	return words, module[min((start+int(size)+3)&^3, len(module)):], ""
}

// hex32 reads 8 hexadecimal digits.
func hex32(b []byte) (n uint32, ok bool) {
	for _, c := range b[:8] {
		d, ok := hexDigit(c)
		if !ok {
			return 0, false
		}
		n = n<<4 | uint32(d)
	}
	return n, true
}
