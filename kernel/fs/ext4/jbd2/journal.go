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

	superMu sync.Mutex // held while the superblock changes or is written
	homeMu  sync.Mutex // held by who writes blocks home; taken before mu

	mu      sync.Mutex
	changed sync.Cond // handles ended, commits finished, blocks read or written, failure
	cache   cache
	spares  spares
	scratch [][]byte // of the commit that is under way

	layout                   layout // of what is written
	perDescriptor, perRevoke int    // tags and records of a block
	length                   uint32 // blocks of the log
	most                     int    // blocks of a transaction with one handle
	enough                   int    // blocks of one with more

	running    *transaction
	committing *transaction
	locked     bool           // a commit waits for handles or copies; Begin waits
	next       uint64         // number of the next transaction
	committed  uint64         // newest durable one
	logged     []*transaction // in the log, oldest first
	head       uint32         // where the next one goes
	used       uint32         // blocks of the log
	sequence   uint32         // of the next one in the log
	waiting    int            // buffers committed but not at their places
	homing     bool           // a goroutine writes them

	err      error
	closed   bool
	replayed bool
}

// Open checks the journal's superblock and replays what a crash left. Read-only
// and without a place of the journal it is a cache and nothing else.
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

// prepare sets how the log, which is empty, is written. Features get into the
// superblock with the first transaction.
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
	j.most = int(j.length / 4)
	j.enough = min(j.most, j.cfg.MaxDirty/j.cfg.BlockSize)
	j.spares.most = min(j.enough, spareBytes/j.cfg.BlockSize)
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

// Abort ends the journal: nothing of it is written from now on, but for a note in
// its superblock that makes e2fsck check the file system.
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

// Close writes everything to its place and marks the journal empty. EIO: the
// journal has ended before; the log keeps what is not at its place.
func (j *Journal) Close() syscall.Errno {
	j.mu.Lock()
	if j.closed || j.cfg.ReadOnly {
		j.closed = true
		j.mu.Unlock()
		return 0
	}
	j.closed = true // no more handles
	j.mu.Unlock()
	e := j.Checkpoint()
	j.mu.Lock()
	for j.homing || j.committing != nil {
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
