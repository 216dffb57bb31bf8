// Package jbd2 is the journal of ext4: a cache of metadata blocks, transactions
// that change them all or not at all, and the recovery of what a crash left.
//
// The format is that of the kernel's documentation, filesystems/ext4/journal.rst;
// e2fsck and Linux read what it writes. Start reading at journal.go; replay.go is
// recovery, commit.go the way of a transaction into the log, checkpoint.go the
// way from the log to its place.
//
// # Rules for callers
//
// A block is changed only between Begin and End, after Handle.Dirty, under the
// caller's own lock. A goroutine has at most one handle and calls neither Commit
// nor Checkpoint nor Begin while it has one. Locks that OnCommit functions take
// must not be held around Begin, Commit or Checkpoint.
package jbd2
