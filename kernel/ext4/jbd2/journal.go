package jbd2

import (
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/yolk-unikernel/yolk/kernel/block"
)

// Run is a piece of the journal: Count blocks of the journal from Logical on lie
// on the device from Physical on, in blocks of the file system.
type Run struct {
	Logical  uint32
	Physical uint64
	Count    uint32
}

// Config says where the journal is and how much memory it may take.
type Config struct {
	Device    block.Device
	BlockSize int    // bytes: 1024 to 65536
	Blocks    uint64 // size of the file system; nothing beyond is read or written
	Journal   []Run  // the whole journal inode, in order
	ReadOnly  bool   // replay into the cache only, never write
	// Checksums asks for csum_v3 in a journal that has no checksums yet: the file
	// system has metadata_csum.
	Checksums bool
	// MaxDirty is how many bytes of committed blocks may wait to be written to
	// their place before that starts: 4 MiB if zero.
	MaxDirty int
	// CacheBytes is how many bytes of clean blocks are kept: 4 MiB if zero.
	CacheBytes int
	// Interval is the age at which a transaction is committed unasked: 5 s if zero.
	Interval time.Duration
	Log      func(string) // nil: nobody listens
	// Failed is told once why the journal ended; nothing is written afterwards.
	Failed func(error)
}

// Error is why a journal cannot be opened or has ended.
type Error struct{ What string }

func (e *Error) Error() string { return "jbd2: " + e.What }

func number(n uint64) string { return strconv.FormatUint(n, 10) }

// Journal is an open journal with its cache of blocks.
type Journal struct {
	cfg     Config
	log     logArea
	super   super
	overlay map[uint64]place // what a replay without writing found

	mu      sync.Mutex
	changed sync.Cond // handles ended, commits finished, failure
	cache   cache

	running   *transaction
	locked    bool // a commit waits for open handles; Begin waits
	next      uint64
	committed uint64 // newest durable transaction
	err       error
	closed    bool
	replayed  bool
}

// Open checks the journal's superblock and replays what a crash left.
func Open(cfg Config) (*Journal, error) {
	if err := complete(&cfg); err != nil {
		return nil, err
	}
	j := &Journal{cfg: cfg}
	j.changed.L = &j.mu
	j.cache.init(cfg.CacheBytes, cfg.BlockSize)
	if err := j.log.init(&cfg); err != nil {
		return nil, err
	}
	if err := j.readSuper(); err != nil {
		return nil, err
	}
	if err := j.replay(); err != nil {
		return nil, err
	}
	j.committed = j.next - 1
	return j, nil
}

func complete(cfg *Config) error {
	bs := cfg.BlockSize
	if bs < 1024 || bs > 65536 || bs&(bs-1) != 0 || bs%cfg.Device.BlockSize() != 0 {
		return &Error{"block size " + strconv.Itoa(bs) + " does not fit the device's " + strconv.Itoa(cfg.Device.BlockSize())}
	}
	if cfg.Blocks == 0 || cfg.Blocks > uint64(cfg.Device.Size())/uint64(bs) {
		return &Error{"file system of " + number(cfg.Blocks) + " blocks is larger than its device"}
	}
	if cfg.MaxDirty == 0 {
		cfg.MaxDirty = 4 << 20
	}
	if cfg.CacheBytes == 0 {
		cfg.CacheBytes = 4 << 20
	}
	if cfg.Interval == 0 {
		cfg.Interval = 5 * time.Second
	}
	if cfg.Log == nil {
		cfg.Log = func(string) {}
	}
	if cfg.Failed == nil {
		cfg.Failed = func(error) {}
	}
	cfg.ReadOnly = cfg.ReadOnly || cfg.Device.ReadOnly()
	return nil
}

// Replayed reports whether Open found transactions to replay.
func (j *Journal) Replayed() bool { return j.replayed }

// Err is why the journal has ended, nil while it works.
func (j *Journal) Err() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.err
}

// Abort ends the journal: nothing is written from now on.
func (j *Journal) Abort(err error) {
	j.mu.Lock()
	first := j.err == nil
	if first {
		j.err = err
	}
	j.changed.Broadcast()
	j.mu.Unlock()
	if first {
		j.cfg.Log("jbd2: aborted: " + err.Error())
		j.cfg.Failed(err)
	}
}

// Close writes everything to its place and marks the journal empty.
func (j *Journal) Close() syscall.Errno {
	errno := j.Checkpoint()
	j.mu.Lock()
	j.closed = true
	j.mu.Unlock()
	return errno
}
