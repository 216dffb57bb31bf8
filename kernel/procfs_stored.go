package kernel

import (
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

// storedSettings are files of /proc/self that keep a number for somebody who is not here: the killer
// that chooses among processes, the audit daemon, what dumps cores. Linux checks the number and shows
// it again, and so does this kernel.
var storedSettings = [...]storedSetting{
	{"oom_score_adj", 0, -1000, 1000, false},
	{"oom_adj", 0, -17, 15, false},
	{"loginuid", 1<<32 - 1, 0, 1<<32 - 1, false},
	{"coredump_filter", 0x33, 0, 1<<32 - 1, true},
}

type storedSetting struct {
	name        string
	preset      int64
	least, most int64
	hex         bool
}

// addStored adds the files to a process's folder.
func (fs *genFS) addStored(dir string) {
	for i := range storedSettings {
		st, value := &storedSettings[i], &fs.k.proc.stored[i]
		value.CompareAndSwap(0, st.preset+storedBias)
		fs.file(dir+st.name, 0o644, func(_ *Kernel, b []byte) []byte { return st.text(b, value) },
			func(_ *Kernel, p []byte) syscall.Errno {
				n, err := strconv.ParseInt(strings.TrimSpace(string(p)), 0, 64)
				if err != nil || n < st.least || n > st.most {
					return syscall.EINVAL
				}
				value.Store(n + storedBias)
				return 0
			})
	}
}

// storedBias makes 0 the value that was not set.
const storedBias = 1 << 40

func (st *storedSetting) text(b []byte, value *atomic.Int64) []byte {
	n := value.Load() - storedBias
	if !st.hex {
		return append(strconv.AppendInt(b, n, 10), '\n')
	}
	s := strconv.FormatInt(n, 16)
	return append(append(b, strings.Repeat("0", max(8-len(s), 0))...), s+"\n"...)
}
