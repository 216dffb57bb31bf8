package solsocket

// Options of SOL_SOCKET that package syscall lacks, or lacks on amd64: asm-generic/socket.h of Linux 6.18.
const (
	NoCheck         = 11
	BSDCompat       = 14
	ReusePort       = 15
	PeerName        = 28
	PassSec         = 34
	Protocol        = 38
	Domain          = 39
	RxqOvfl         = 40
	WifiStatus      = 41
	PeekOff         = 42
	NoFCS           = 43
	LockFilter      = 44
	SelectErrQueue  = 45
	BusyPoll        = 46
	MaxPacingRate   = 47
	BPFExtensions   = 48
	IncomingCPU     = 49
	AttachBPF       = 50
	AttachReuseCBPF = 51
	AttachReuseEBPF = 52
	CnxAdvice       = 53
	Meminfo         = 55
	IncomingNapiID  = 56
	Cookie          = 57
	PeerGroups      = 59
	Zerocopy        = 60
	TxTime          = 61 // also SCM_TXTIME
	BindToIfIndex   = 62
	TimestampNew    = 63
	TimestampNSNew  = 64
	TimestampingNew = 65
	RcvTimeoNew     = 66
	SndTimeoNew     = 67
	DetachReuseBPF  = 68
	PreferBusyPoll  = 69
	BusyPollBudget  = 70
	NetnsCookie     = 71
	BufLock         = 72
	ReserveMem      = 73
	TxRehash        = 74
	RcvMark         = 75
	PassPidFD       = 76
	PeerPidFD       = 77
	DevmemDontNeed  = 80
	RcvPriority     = 82
	PassRights      = 83
	Inq             = 84
)

// MeminfoSize is the size of the nine numbers of SO_MEMINFO in bytes, linux/sock_diag.h.
const MeminfoSize = 36

// UcredSize is the size of struct ucred in bytes: three 32-bit numbers, unix(7).
const UcredSize = 12
