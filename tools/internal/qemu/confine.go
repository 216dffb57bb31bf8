package qemu

import (
	"debug/elf"
	"fmt"
	"io"
	"os"
	"os/user"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Confinement is what QEMU may not do once it runs.
type Confinement struct {
	// Sandbox filters system calls (QEMU's -sandbox): no program can be started, no privileges
	// gained, no process controlled.
	Sandbox bool
	// User is whom QEMU becomes after it has set the machine up, or "" for whom started it.
	User string
}

// unprivileged is the user without rights of a Linux system, user_namespaces(7).
const unprivileged = "nobody"

// Confine chooses the tightest confinement in which the machine works here. It writes a line to w
// for each right that QEMU keeps.
func (c *Config) Confine(w io.Writer) {
	path, err := Find()
	if err != nil {
		return
	}
	if c.Confined.Sandbox = hasSandbox(path); !c.Confined.Sandbox {
		fmt.Fprintf(w, "yolk: this QEMU is built without seccomp: it can do whatever this user can; install one that has -sandbox\n")
	}
	if os.Geteuid() != 0 {
		return
	}
	var why string
	if c.Confined.User, why = c.unprivilegedUser(); why != "" {
		fmt.Fprintf(w, "yolk: QEMU keeps the rights of root, %s; start yolk as another user, or see SECURITY.md\n", why)
	}
}

// unprivilegedUser returns the user for a QEMU that root starts, or why it must stay root.
func (c *Config) unprivilegedUser() (name, why string) {
	if i := slices.IndexFunc(c.Folders, func(f Folder) bool { return !f.ReadOnly }); i >= 0 {
		return "", fmt.Sprintf("which the files of -v %s:%s may need", c.Folders[i].Host, c.Folders[i].Guest)
	}
	if len(c.Folders) > 0 {
		return "", fmt.Sprintf("which reading -v %s may need", c.Folders[0].Host)
	}
	if _, err := user.Lookup(unprivileged); err != nil {
		return "", "because there is no user " + unprivileged
	}
	return unprivileged, ""
}

// hasSandbox reports whether QEMU can filter its system calls: it is linked with libseccomp. A
// static one may be, and says so if it is not.
func hasSandbox(path string) bool {
	f, err := elf.Open(path)
	if err != nil {
		return true // a script, which runs one
	}
	defer f.Close()
	libs, err := f.ImportedLibraries()
	return err != nil || len(libs) == 0 ||
		slices.ContainsFunc(libs, func(l string) bool { return strings.HasPrefix(l, "libseccomp.so") })
}

// args are QEMU's. To become another user it must be able to change its own rights, which its filter
// has no rule for; that it cannot get any is no_new_privs' to hold (see [VM.supervise]).
func (c Confinement) args() []string {
	var a []string
	elevate := ",elevateprivileges=deny"
	if c.User != "" {
		a = append(a, "-runas", c.User)
		elevate = ""
	}
	if c.Sandbox {
		a = append(a, "-sandbox", "on,obsolete=deny"+elevate+",spawn=deny,resourcecontrol=deny")
	}
	return a
}

// lifeline kills a process when this one ends, however it does. The kernel forgets a signal for the
// death of the parent (PR_SET_PDEATHSIG) when a process becomes another user; the signal of an
// asynchronous descriptor (F_SETSIG, fcntl(2)) it does not forget. The process must have inherited r,
// and nothing but this process may have w, the other end of the pipe. A process that has ended needs none.
func lifeline(r *os.File, pid int) error {
	fd := r.Fd()
	for _, c := range []struct{ cmd, arg int }{
		{unix.F_SETOWN, pid}, {unix.F_SETSIG, int(unix.SIGKILL)}, {unix.F_SETFL, unix.O_ASYNC},
	} {
		_, err := unix.FcntlInt(fd, c.cmd, c.arg)
		if err == unix.ESRCH {
			return nil
		}
		if err != nil {
			return fmt.Errorf("fcntl: %w", err)
		}
	}
	return nil
}

// environment selects the variables that QEMU and its libraries read. The others may be secrets.
func environment(env []string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		switch name {
		case "PATH", "HOME", "LANG", "TMPDIR", "XDG_RUNTIME_DIR", "XDG_DATA_DIRS":
			return false
		}
		return !strings.HasPrefix(name, "LC_") && !strings.HasPrefix(name, "QEMU_") && !strings.HasPrefix(name, "LD_")
	})
}
