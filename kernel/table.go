package kernel

import "syscall"

// handler serves one system call on the caller's goroutine.
type handler func(k *Kernel, a Args) (uintptr, syscall.Errno)

// level says how well a call is served.
type level uint8

const (
	levelNone    level = iota // logged once, ENOSYS
	levelFull                 // as the man page says
	levelPartial              // as the note says
	levelStub                 // an answer without an effect
	levelMachine              // served by the machine half
)

func (l level) String() string {
	return [...]string{"none", "full", "partial", "stub", "machine"}[l]
}

// call is one system call.
type call struct {
	name    string
	handler handler // nil: served by the machine half, by one of moreCalls, or not at all
	level   level
}

// tableSize is one more than the highest number of a call.
const tableSize = 472

// table is indexed by system call number (linux/amd64,
// arch/x86/entry/syscalls/syscall_64.tbl). docs/syscalls.md is generated from it;
// the comment after an entry is its note.
var table = [tableSize]call{
	0:   {"read", sysRead, levelFull},
	1:   {"write", sysWrite, levelFull},
	2:   {"open", sysOpen, levelPartial}, // O_DIRECT, O_ASYNC, O_NOATIME and O_NOCTTY have no effect
	3:   {"close", sysClose, levelFull},
	4:   {"stat", sysStat, levelFull},
	5:   {"fstat", sysFstat, levelFull},
	6:   {"lstat", sysLstat, levelFull},
	7:   {"poll", nil, levelFull},
	8:   {"lseek", sysLseek, levelFull},
	9:   {"mmap", sysMmap, levelPartial},         // anonymous memory is the machine's; files: see kernel/mmap.go
	10:  {"mprotect", sysMprotect, levelPartial}, // shared file mappings stay writable
	11:  {"munmap", sysMunmap, levelPartial},     // see kernel/mmap.go
	12:  {"brk", nil, levelMachine},              // the break cannot be moved
	13:  {"rt_sigaction", nil, levelMachine},
	14:  {"rt_sigprocmask", nil, levelMachine},
	15:  {"rt_sigreturn", nil, levelMachine},
	16:  {"ioctl", sysIoctl, levelPartial}, // terminal, FIONREAD, FIONBIO, FIOCLEX; sockets have their own
	17:  {"pread64", sysPread64, levelFull},
	18:  {"pwrite64", sysPwrite64, levelFull},
	19:  {"readv", sysReadv, levelFull},
	20:  {"writev", sysWritev, levelFull},
	21:  {"access", sysAccess, levelPartial}, // as root: only the execute bits and read-only mounts are looked at
	22:  {"pipe", sysPipe, levelFull},
	23:  {"select", nil, levelFull},
	24:  {"sched_yield", sysSchedYield, levelFull},
	25:  {"mremap", nil, levelPartial}, // files: shared mappings only; of tmpfs they grow in place, of disks elsewhere
	26:  {"msync", nil, levelFull},
	27:  {"mincore", nil, levelPartial},        // pages of files count once a mapping has used them
	28:  {"madvise", sysMadvise, levelPartial}, // ignored on shared file mappings
	29:  {"shmget", nil, levelNone},
	30:  {"shmat", nil, levelNone},
	31:  {"shmctl", nil, levelNone},
	32:  {"dup", sysDup, levelFull},
	33:  {"dup2", sysDup2, levelFull},
	34:  {"pause", nil, levelMachine},
	35:  {"nanosleep", sysNanosleep, levelPartial}, // not interrupted by signals
	36:  {"getitimer", nil, levelFull},
	37:  {"alarm", nil, levelFull},
	38:  {"setitimer", nil, levelFull},
	39:  {"getpid", sysGetpid, levelFull},
	40:  {"sendfile", sysSendfile, levelFull},
	41:  {"socket", nil, levelFull},
	42:  {"connect", nil, levelFull},
	43:  {"accept", nil, levelFull},
	44:  {"sendto", nil, levelFull},
	45:  {"recvfrom", nil, levelFull},
	46:  {"sendmsg", nil, levelFull},
	47:  {"recvmsg", nil, levelFull},
	48:  {"shutdown", nil, levelFull},
	49:  {"bind", nil, levelFull},
	50:  {"listen", nil, levelFull},
	51:  {"getsockname", nil, levelFull},
	52:  {"getpeername", nil, levelFull},
	53:  {"socketpair", nil, levelFull},
	54:  {"setsockopt", nil, levelFull},
	55:  {"getsockopt", nil, levelFull},
	56:  {"clone", nil, levelMachine},     // threads; a process is ENOSYS
	57:  {"fork", noProcess, levelStub},   // ENOSYS: one process; logs once
	58:  {"vfork", noProcess, levelStub},  // ENOSYS: one process; logs once
	59:  {"execve", noProcess, levelStub}, // ENOSYS: one process; logs once
	60:  {"exit", nil, levelMachine},
	61:  {"wait4", noChild, levelStub}, // ECHILD: no children
	62:  {"kill", nil, levelMachine},
	63:  {"uname", sysUname, levelFull},
	64:  {"semget", nil, levelNone},
	65:  {"semop", nil, levelNone},
	66:  {"semctl", nil, levelNone},
	67:  {"shmdt", nil, levelNone},
	68:  {"msgget", nil, levelNone},
	69:  {"msgsnd", nil, levelNone},
	70:  {"msgrcv", nil, levelNone},
	71:  {"msgctl", nil, levelNone},
	72:  {"fcntl", sysFcntl, levelPartial}, // no leases, no signals on I/O; POSIX locks never conflict in one process
	73:  {"flock", nil, levelFull},
	74:  {"fsync", sysFsync, levelFull},
	75:  {"fdatasync", sysFdatasync, levelFull},
	76:  {"truncate", sysTruncate, levelFull},
	77:  {"ftruncate", sysFtruncate, levelFull},
	78:  {"getdents", nil, levelNone},
	79:  {"getcwd", sysGetcwd, levelFull},
	80:  {"chdir", sysChdir, levelFull},
	81:  {"fchdir", sysFchdir, levelFull},
	82:  {"rename", sysRename, levelFull},
	83:  {"mkdir", sysMkdir, levelFull},
	84:  {"rmdir", sysRmdir, levelFull},
	85:  {"creat", sysCreat, levelFull},
	86:  {"link", sysLink, levelFull},
	87:  {"unlink", sysUnlink, levelFull},
	88:  {"symlink", sysSymlink, levelFull},
	89:  {"readlink", sysReadlink, levelFull},
	90:  {"chmod", sysChmod, levelFull},
	91:  {"fchmod", sysFchmod, levelFull},
	92:  {"chown", sysChown, levelFull},
	93:  {"fchown", sysFchown, levelFull},
	94:  {"lchown", sysLchown, levelFull},
	95:  {"umask", sysUmask, levelFull},
	96:  {"gettimeofday", sysGettimeofday, levelFull},
	97:  {"getrlimit", sysGetrlimit, levelFull},
	98:  {"getrusage", sysGetrusage, levelPartial}, // CPU time and memory
	99:  {"sysinfo", sysSysinfo, levelFull},
	100: {"times", sysTimes, levelFull},
	101: {"ptrace", noPerm, levelStub}, // EPERM
	102: {"getuid", sysGetuid, levelFull},
	103: {"syslog", nil, levelStub}, // an empty log
	104: {"getgid", sysGetgid, levelFull},
	105: {"setuid", sysSetuid, levelPartial}, // kept and reported; no access is ever refused for them
	106: {"setgid", sysSetgid, levelPartial}, // kept and reported; no access is ever refused for them
	107: {"geteuid", sysGeteuid, levelFull},
	108: {"getegid", sysGetegid, levelFull},
	109: {"setpgid", sysSetpgid, levelStub}, // EPERM: the process is a session leader
	110: {"getppid", sysGetppid, levelFull},
	111: {"getpgrp", sysGetpid, levelFull},
	112: {"setsid", sysSetsid, levelStub},        // EPERM: the process is a session leader
	113: {"setreuid", sysSetreuid, levelPartial}, // kept and reported; no access is ever refused for them
	114: {"setregid", sysSetregid, levelPartial}, // kept and reported; no access is ever refused for them
	115: {"getgroups", sysGetgroups, levelFull},
	116: {"setgroups", sysSetgroups, levelPartial}, // kept and reported; no access is ever refused for them
	117: {"setresuid", sysSetresuid, levelPartial}, // kept and reported; no access is ever refused for them
	118: {"getresuid", sysGetresuid, levelFull},
	119: {"setresgid", sysSetresgid, levelPartial}, // kept and reported; no access is ever refused for them
	120: {"getresgid", sysGetresgid, levelFull},
	121: {"getpgid", sysGetpgid, levelFull},
	122: {"setfsuid", sysSetfsuid, levelStub}, // the effective id
	123: {"setfsgid", sysSetfsgid, levelStub}, // the effective id
	124: {"getsid", sysGetpgid, levelFull},
	125: {"capget", nil, levelFull},
	126: {"capset", succeed, levelStub}, // accepted; all capabilities stay
	127: {"rt_sigpending", nil, levelMachine},
	128: {"rt_sigtimedwait", nil, levelMachine},
	129: {"rt_sigqueueinfo", sysRtSigqueueinfo, levelFull},
	130: {"rt_sigsuspend", nil, levelMachine},
	131: {"sigaltstack", nil, levelMachine}, // the arguments are not checked
	132: {"utime", sysUtime, levelFull},
	133: {"mknod", nil, levelFull},
	134: {"uselib", nil, levelNone},
	135: {"personality", nil, levelNone},
	136: {"ustat", nil, levelNone},
	137: {"statfs", nil, levelFull},
	138: {"fstatfs", nil, levelFull},
	139: {"sysfs", nil, levelNone},
	140: {"getpriority", sysGetpriority, levelFull},
	141: {"setpriority", sysSetpriority, levelStub}, // kept; there is nothing to compete with
	142: {"sched_setparam", nil, levelPartial},      // the priority of SCHED_OTHER, 0
	143: {"sched_getparam", nil, levelPartial},      // 0, of the calling thread and of process 1; other threads are ESRCH
	144: {"sched_setscheduler", nil, levelPartial},  // SCHED_OTHER; the others are EPERM
	145: {"sched_getscheduler", nil, levelFull},     // SCHED_OTHER
	146: {"sched_get_priority_max", nil, levelFull},
	147: {"sched_get_priority_min", nil, levelFull},
	148: {"sched_rr_get_interval", nil, levelNone},
	149: {"mlock", sysMlock, levelStub},       // memory is never paged out
	150: {"munlock", sysMlock, levelStub},     // memory is never paged out
	151: {"mlockall", sysMlockall, levelStub}, // memory is never paged out
	152: {"munlockall", succeed, levelStub},   // memory is never paged out
	153: {"vhangup", nil, levelNone},
	154: {"modify_ldt", nil, levelNone},
	155: {"pivot_root", noPerm, levelStub}, // EPERM
	156: {"_sysctl", nil, levelNone},
	157: {"prctl", nil, levelPartial},              // names, no_new_privs, capability bounds; PR_SET_VMA is EINVAL
	158: {"arch_prctl", nil, levelMachine},         // ARCH_SET_FS; others are EINVAL
	159: {"adjtimex", nil, levelPartial},           // reading only; setting is EPERM
	160: {"setrlimit", sysSetrlimit, levelPartial}, // only RLIMIT_NOFILE is enforced
	161: {"chroot", sysChroot, levelStub},          // only to \"/\"
	162: {"sync", sysSync, levelFull},
	163: {"acct", noPerm, levelStub},                     // EPERM
	164: {"settimeofday", sysSettimeofday, levelPartial}, // the time zone is ignored
	165: {"mount", noPerm, levelStub},                    // EPERM
	166: {"umount2", noPerm, levelStub},                  // EPERM
	167: {"swapon", noPerm, levelStub},                   // EPERM
	168: {"swapoff", noPerm, levelStub},                  // EPERM
	169: {"reboot", sysReboot, levelPartial},             // restart, halt and power off end the machine
	170: {"sethostname", sysSethostname, levelFull},
	171: {"setdomainname", sysSetdomainname, levelFull},
	172: {"iopl", nil, levelNone},
	173: {"ioperm", nil, levelNone},
	174: {"create_module", nil, levelNone},
	175: {"init_module", noPerm, levelStub},   // EPERM
	176: {"delete_module", noPerm, levelStub}, // EPERM
	177: {"get_kernel_syms", nil, levelNone},
	178: {"query_module", nil, levelNone},
	179: {"quotactl", noPerm, levelStub}, // EPERM
	180: {"nfsservctl", nil, levelNone},
	181: {"getpmsg", nil, levelNone},
	182: {"putpmsg", nil, levelNone},
	183: {"afs_syscall", nil, levelNone},
	184: {"tuxcall", nil, levelNone},
	185: {"security", nil, levelNone},
	186: {"gettid", nil, levelMachine},
	187: {"readahead", sysReadahead, levelStub}, // checked and not taken
	188: {"setxattr", nil, levelPartial},        // on disks and in tmpfs; elsewhere there are none (EOPNOTSUPP)
	189: {"lsetxattr", nil, levelPartial},       // on disks and in tmpfs; elsewhere there are none (EOPNOTSUPP)
	190: {"fsetxattr", nil, levelPartial},       // on disks and in tmpfs; elsewhere there are none (EOPNOTSUPP)
	191: {"getxattr", nil, levelPartial},        // on disks and in tmpfs; elsewhere there are none (EOPNOTSUPP)
	192: {"lgetxattr", nil, levelPartial},       // on disks and in tmpfs; elsewhere there are none (EOPNOTSUPP)
	193: {"fgetxattr", nil, levelPartial},       // on disks and in tmpfs; elsewhere there are none (EOPNOTSUPP)
	194: {"listxattr", nil, levelPartial},       // on disks and in tmpfs; elsewhere there are none (EOPNOTSUPP)
	195: {"llistxattr", nil, levelPartial},      // on disks and in tmpfs; elsewhere there are none (EOPNOTSUPP)
	196: {"flistxattr", nil, levelPartial},      // on disks and in tmpfs; elsewhere there are none (EOPNOTSUPP)
	197: {"removexattr", nil, levelPartial},     // on disks and in tmpfs; elsewhere there are none (EOPNOTSUPP)
	198: {"lremovexattr", nil, levelPartial},    // on disks and in tmpfs; elsewhere there are none (EOPNOTSUPP)
	199: {"fremovexattr", nil, levelPartial},    // on disks and in tmpfs; elsewhere there are none (EOPNOTSUPP)
	200: {"tkill", nil, levelMachine},
	201: {"time", sysTime, levelFull},
	202: {"futex", nil, levelMachine},                          // FUTEX_WAIT and FUTEX_WAKE; others are ENOSYS
	203: {"sched_setaffinity", sysSchedSetaffinity, levelStub}, // checked and not followed
	204: {"sched_getaffinity", sysSchedGetaffinity, levelFull},
	205: {"set_thread_area", nil, levelNone},
	206: {"io_setup", noSys, levelStub}, // ENOSYS
	207: {"io_destroy", nil, levelNone},
	208: {"io_getevents", nil, levelNone},
	209: {"io_submit", nil, levelNone},
	210: {"io_cancel", nil, levelNone},
	211: {"get_thread_area", nil, levelNone},
	212: {"lookup_dcookie", nil, levelNone},
	213: {"epoll_create", nil, levelFull},
	214: {"epoll_ctl_old", nil, levelNone},
	215: {"epoll_wait_old", nil, levelNone},
	216: {"remap_file_pages", nil, levelNone},
	217: {"getdents64", sysGetdents64, levelFull},
	218: {"set_tid_address", nil, levelMachine},
	219: {"restart_syscall", interrupted, levelFull}, // EINTR: for the kernel alone
	220: {"semtimedop", nil, levelNone},
	221: {"fadvise64", sysFadvise64, levelStub}, // checked and not taken
	222: {"timer_create", nil, levelFull},
	223: {"timer_settime", nil, levelFull},
	224: {"timer_gettime", nil, levelFull},
	225: {"timer_getoverrun", nil, levelFull},
	226: {"timer_delete", nil, levelFull},
	227: {"clock_settime", sysClockSettime, levelFull},
	228: {"clock_gettime", sysClockGettime, levelFull},
	229: {"clock_getres", sysClockGetres, levelFull},
	230: {"clock_nanosleep", sysClockNanosleep, levelPartial}, // not interrupted by signals, nor moved by setting the clock; no CPU clocks
	231: {"exit_group", nil, levelMachine},
	232: {"epoll_wait", nil, levelFull},
	233: {"epoll_ctl", nil, levelFull},
	234: {"tgkill", nil, levelMachine},
	235: {"utimes", sysUtimes, levelFull},
	236: {"vserver", nil, levelNone},
	237: {"mbind", noSys, levelStub},         // ENOSYS
	238: {"set_mempolicy", noSys, levelStub}, // ENOSYS
	239: {"get_mempolicy", noSys, levelStub}, // ENOSYS
	240: {"mq_open", nil, levelNone},
	241: {"mq_unlink", nil, levelNone},
	242: {"mq_timedsend", nil, levelNone},
	243: {"mq_timedreceive", nil, levelNone},
	244: {"mq_notify", nil, levelNone},
	245: {"mq_getsetattr", nil, levelNone},
	246: {"kexec_load", noPerm, levelStub}, // EPERM
	247: {"waitid", noSys, levelStub},      // ENOSYS
	248: {"add_key", noSys, levelStub},     // ENOSYS
	249: {"request_key", noSys, levelStub}, // ENOSYS
	250: {"keyctl", noSys, levelStub},      // ENOSYS
	251: {"ioprio_set", nil, levelPartial}, // kept for ioprio_get: requests are served in their order
	252: {"ioprio_get", nil, levelFull},
	253: {"inotify_init", nil, levelFull},
	254: {"inotify_add_watch", nil, levelPartial}, // IN_EXCL_UNLINK has no effect
	255: {"inotify_rm_watch", nil, levelFull},
	256: {"migrate_pages", nil, levelNone},
	257: {"openat", sysOpenat, levelPartial}, // O_DIRECT, O_ASYNC, O_NOATIME and O_NOCTTY have no effect
	258: {"mkdirat", sysMkdirat, levelFull},
	259: {"mknodat", nil, levelFull},
	260: {"fchownat", sysFchownat, levelFull},
	261: {"futimesat", sysFutimesat, levelFull},
	262: {"newfstatat", sysNewfstatat, levelFull},
	263: {"unlinkat", sysUnlinkat, levelFull},
	264: {"renameat", sysRenameat, levelFull},
	265: {"linkat", sysLinkat, levelFull},
	266: {"symlinkat", sysSymlinkat, levelFull},
	267: {"readlinkat", sysReadlinkat, levelFull},
	268: {"fchmodat", sysFchmodat, levelFull},
	269: {"faccessat", sysFaccessat, levelPartial}, // as root: only execute bits and read-only mounts count
	270: {"pselect6", nil, levelPartial},           // the signal mask is ignored
	271: {"ppoll", nil, levelPartial},              // the signal mask is ignored
	272: {"unshare", noPerm, levelStub},            // EPERM
	273: {"set_robust_list", nil, levelMachine},
	274: {"get_robust_list", nil, levelMachine},
	275: {"splice", sysSplice, levelStub},                    // arguments are checked, then EINVAL: callers copy instead
	276: {"tee", sysTee, levelStub},                          // arguments are checked, then EINVAL
	277: {"sync_file_range", sysSyncFileRange, levelPartial}, // the whole file is synced
	278: {"vmsplice", sysVmsplice, levelStub},                // arguments are checked, then EINVAL
	279: {"move_pages", nil, levelNone},
	280: {"utimensat", sysUtimensat, levelFull},
	281: {"epoll_pwait", nil, levelPartial}, // the signal mask is ignored
	282: {"signalfd", nil, levelFull},
	283: {"timerfd_create", nil, levelFull},
	284: {"eventfd", nil, levelFull},
	285: {"fallocate", sysFallocate, levelPartial}, // room is checked, not set aside; no COLLAPSE or INSERT
	286: {"timerfd_settime", nil, levelFull},
	287: {"timerfd_gettime", nil, levelFull},
	288: {"accept4", nil, levelFull},
	289: {"signalfd4", nil, levelFull},
	290: {"eventfd2", nil, levelFull},
	291: {"epoll_create1", nil, levelFull},
	292: {"dup3", sysDup3, levelFull},
	293: {"pipe2", sysPipe2, levelPartial}, // no packet mode (O_DIRECT)
	294: {"inotify_init1", nil, levelFull},
	295: {"preadv", sysPreadv, levelFull},
	296: {"pwritev", sysPwritev, levelFull},
	297: {"rt_tgsigqueueinfo", sysRtTgsigqueueinfo, levelFull},
	298: {"perf_event_open", noPerm, levelStub}, // EPERM
	299: {"recvmmsg", nil, levelFull},
	300: {"fanotify_init", noSys, levelStub}, // ENOSYS
	301: {"fanotify_mark", nil, levelNone},
	302: {"prlimit64", sysPrlimit64, levelPartial}, // only RLIMIT_NOFILE is enforced
	303: {"name_to_handle_at", noSys, levelStub},   // ENOSYS
	304: {"open_by_handle_at", noSys, levelStub},   // ENOSYS
	305: {"clock_adjtime", nil, levelPartial},      // reading only; setting is EPERM
	306: {"syncfs", sysSyncfs, levelFull},
	307: {"sendmmsg", nil, levelFull},
	308: {"setns", noPerm, levelStub}, // EPERM
	309: {"getcpu", sysGetcpu, levelFull},
	310: {"process_vm_readv", noSys, levelStub},  // ENOSYS
	311: {"process_vm_writev", noSys, levelStub}, // ENOSYS
	312: {"kcmp", nil, levelNone},
	313: {"finit_module", noPerm, levelStub},  // EPERM
	314: {"sched_setattr", nil, levelPartial}, // SCHED_OTHER with the present nice value; others are EPERM
	315: {"sched_getattr", nil, levelNone},
	316: {"renameat2", sysRenameat2, levelPartial}, // NOREPLACE and EXCHANGE; no WHITEOUT
	317: {"seccomp", noSys, levelStub},             // ENOSYS
	318: {"getrandom", sysGetrandom, levelFull},
	319: {"memfd_create", nil, levelFull},
	320: {"kexec_file_load", nil, levelNone},
	321: {"bpf", noPerm, levelStub},         // EPERM
	322: {"execveat", noProcess, levelStub}, // ENOSYS: one process; logs once
	323: {"userfaultfd", noSys, levelStub},  // ENOSYS
	324: {"membarrier", noSys, levelStub},   // ENOSYS
	325: {"mlock2", sysMlock2, levelStub},   // memory is never paged out
	326: {"copy_file_range", sysCopyFileRange, levelFull},
	327: {"preadv2", sysPreadv2, levelPartial},   // RWF_NOWAIT is EOPNOTSUPP
	328: {"pwritev2", sysPwritev2, levelPartial}, // RWF_NOWAIT is EOPNOTSUPP
	329: {"pkey_mprotect", nil, levelNone},
	330: {"pkey_alloc", nil, levelNone},
	331: {"pkey_free", nil, levelNone},
	332: {"statx", nil, levelPartial}, // basic fields; birth times in memory and on ext4 disks
	333: {"io_pgetevents", nil, levelNone},
	334: {"rseq", noSys, levelStub}, // ENOSYS
	335: {"uretprobe", nil, levelNone},
	336: {"uprobe", nil, levelNone},
	424: {"pidfd_send_signal", sysPidfdSendSignal, levelFull},
	425: {"io_uring_setup", noSys, levelStub},    // ENOSYS
	426: {"io_uring_enter", noSys, levelStub},    // ENOSYS
	427: {"io_uring_register", noSys, levelStub}, // ENOSYS
	428: {"open_tree", noPerm, levelStub},        // EPERM
	429: {"move_mount", noPerm, levelStub},       // EPERM
	430: {"fsopen", noPerm, levelStub},           // EPERM
	431: {"fsconfig", nil, levelNone},
	432: {"fsmount", noPerm, levelStub}, // EPERM
	433: {"fspick", nil, levelNone},
	434: {"pidfd_open", sysPidfdOpen, levelFull},
	435: {"clone3", noSys, levelStub}, // ENOSYS; callers fall back to clone
	436: {"close_range", sysCloseRange, levelFull},
	437: {"openat2", sysOpenat2, levelFull},
	438: {"pidfd_getfd", nil, levelFull},
	439: {"faccessat2", sysFaccessat2, levelPartial}, // as root: only execute bits and read-only mounts count
	440: {"process_madvise", nil, levelNone},
	441: {"epoll_pwait2", nil, levelPartial},  // the signal mask is ignored
	442: {"mount_setattr", noPerm, levelStub}, // EPERM
	443: {"quotactl_fd", nil, levelNone},
	444: {"landlock_create_ruleset", noSys, levelStub}, // ENOSYS
	445: {"landlock_add_rule", nil, levelNone},
	446: {"landlock_restrict_self", nil, levelNone},
	447: {"memfd_secret", nil, levelNone},
	448: {"process_mrelease", nil, levelNone},
	449: {"futex_waitv", nil, levelNone},
	450: {"set_mempolicy_home_node", nil, levelNone},
	451: {"cachestat", noSys, levelStub}, // ENOSYS
	452: {"fchmodat2", sysFchmodat2, levelFull},
	453: {"map_shadow_stack", nil, levelNone},
	454: {"futex_wake", nil, levelNone},
	455: {"futex_wait", nil, levelNone},
	456: {"futex_requeue", nil, levelNone},
	457: {"statmount", noSys, levelStub}, // ENOSYS
	458: {"listmount", noSys, levelStub}, // ENOSYS
	459: {"lsm_get_self_attr", nil, levelNone},
	460: {"lsm_set_self_attr", nil, levelNone},
	461: {"lsm_list_modules", nil, levelNone},
	462: {"mseal", nil, levelNone},
	463: {"setxattrat", nil, levelNone},
	464: {"getxattrat", nil, levelNone},
	465: {"listxattrat", nil, levelNone},
	466: {"removexattrat", nil, levelNone},
	467: {"open_tree_attr", nil, levelNone},
	468: {"file_getattr", nil, levelNone},
	469: {"file_setattr", nil, levelNone},
	470: {"listns", nil, levelNone},
	471: {"rseq_slice_yield", nil, levelNone},
}
