package jbd2

import (
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/yolk-unikernel/yolk/kernel/fs/block"
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
	Blocks    uint64 // size of the file system; the journal touches nothing beyond
	Journal   []Run  // the whole journal inode, in order
	ReadOnly  bool   // replay into the cache only, never write
	// Checksums asks for csum_v3 in a journal that has no checksums yet: the file
	// system has metadata_csum.
	Checksums bool
	// MaxDirty is how many bytes of committed blocks may wait for a checkpoint before
	// one starts: 4 MiB if zero.
	MaxDirty int
	// CacheBytes is how many bytes of clean blocks are kept: 4 MiB if zero.
	CacheBytes int
	// Interval is the age at which a transaction is committed if no caller has asked
	// for it: 5 s if zero.
	Interval time.Duration
	Log      func(string) // gets messages for the console; may be nil
	// Failed is called once, with the reason, when the journal ends; nothing is written
	// afterwards.
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
	overlay map[uint64]place // newest copies in the log of a journal that is open read-only

	superMu      sync.Mutex // held while the superblock changes or is written
	checkpointMu sync.Mutex // held during a checkpoint; taken before mu

	mu      sync.Mutex
	changed sync.Cond // a handle ended, a commit finished, a block was read or written, or the journal failed
	cache   cache
	spares  spares
	scratch [][]byte // blocks for descriptors and revokes of the current commit

	layout                   layout // format of what is written to the log
	perDescriptor, perRevoke int    // tags of a descriptor block, records of a revoke block
	length                   uint32 // size of the log in blocks
	maxTransaction           int    // most blocks of a transaction; a larger handle is refused
	targetTransaction        int    // blocks from which on a transaction takes no further handle

	running        *transaction
	committing     *transaction
	locked         bool           // Begin waits: a commit waits for handles to end, or copies blocks
	next           uint64         // number of the next transaction
	committed      uint64         // number of the newest durable transaction
	logged         []*transaction // transactions in the log, oldest first
	head           uint32         // where the log ends: the next transaction is written there
	used           uint32         // blocks of the log that are in use
	sequence       uint32         // sequence number of the next transaction in the log
	uncheckpointed int            // number of committed buffers that wait for a checkpoint
	checkpointing  bool           // a checkpoint runs in the background

	err      error
	closed   bool
	replayed bool
}

// Open checks the journal's superblock and replays what a crash left. With ReadOnly and
// an empty Config.Journal it is a cache and nothing else.
func Open(cfg Config) (*Journal, error) {
	if err := complete(&cfg); err != nil {
		return nil, err
	}
	j := &Journal{cfg: cfg}
	j.changed.L = &j.mu
	j.cache.init(cfg.CacheBytes, cfg.BlockSize)
	if len(cfg.Journal) == 0 && cfg.ReadOnly {
		return j, nil
	}
	if err := j.log.init(&cfg); err != nil {
		return nil, err
	}
	if err := j.readSuper(); err != nil {
		return nil, err
	}
	if err := j.replay(); err != nil {
		return nil, err
	}
	if s := j.super.get(superErrno); s != 0 {
		j.cfg.Log("jbd2: the journal has recorded error " + strconv.Itoa(int(int32(s))) + " of an earlier use; run e2fsck -f")
	}
	j.prepare()
	return j, nil
}

// prepare sets the format of the log, which is empty. The superblock gets the features
// with the first transaction.
func (j *Journal) prepare() {
	s := &j.super
	incompat := s.get(superIncompat)&^incompatAsyncCommit | incompatRevoke
	if j.cfg.Blocks > 1<<32 {
		incompat |= incompat64bit
	}
	if j.cfg.Checksums && !s.layout().sums() {
		incompat |= incompatCsumV3
		s.raw[superChecksumType] = checksumCRC32C
	}
	s.put(superIncompat, incompat)
	s.put(superCompat, s.get(superCompat)&^compatChecksum)

	j.layout = s.layout()
	j.perDescriptor = j.layout.perDescriptor(j.cfg.BlockSize)
	j.perRevoke = (j.cfg.BlockSize - revokeHeaderBytes - j.layout.tail()) / j.layout.recordBytes()
	j.length, j.head = s.end-s.first, s.first
	j.maxTransaction = int(j.length / 4)
	j.targetTransaction = min(j.maxTransaction, j.cfg.MaxDirty/j.cfg.BlockSize)
	j.spares.max = min(j.targetTransaction, spareBytes/j.cfg.BlockSize)
	j.next = 1
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

// Abort ends the journal. Nothing is written from now on but a note in the superblock
// that makes e2fsck check the file system.
func (j *Journal) Abort(err error) {
	j.mu.Lock()
	first := j.err == nil
	if first {
		j.err = err
	}
	j.changed.Broadcast()
	j.mu.Unlock()
	if !first {
		return
	}
	j.cfg.Log("jbd2: aborted: " + err.Error())
	j.cfg.Failed(err)
	if j.cfg.ReadOnly {
		return
	}
	j.superMu.Lock()
	defer j.superMu.Unlock()
	if j.super.get(superStart) != 0 {
		j.super.put(superErrno, ^uint32(syscall.EIO)+1) // -EIO, as Linux stores it
		j.storeSuper()
	}
}

// Close checkpoints everything and marks the journal empty. EIO: the journal has ended
// before, and the log keeps what is not checkpointed.
func (j *Journal) Close() syscall.Errno {
	j.mu.Lock()
	if j.closed || j.cfg.ReadOnly {
		j.closed = true
		j.mu.Unlock()
		return 0
	}
	j.closed = true // Begin refuses handles from now on
	j.mu.Unlock()
	e := j.Checkpoint()
	j.mu.Lock()
	for j.checkpointing || j.committing != nil {
		j.changed.Wait()
	}
	if j.running != nil {
		j.running.timer.Stop()
	}
	j.mu.Unlock()
	j.superMu.Lock()
	defer j.superMu.Unlock()
	if e != 0 || j.super.get(superStart) == 0 {
		return e
	}
	if e := j.writeSuper(0, j.sequence); e != 0 {
		return e
	}
	return j.cfg.Device.Flush()
}
