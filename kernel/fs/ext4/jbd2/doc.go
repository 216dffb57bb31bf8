// Package jbd2 is the journal of ext4: a cache of metadata blocks, transactions
// that change them all or not at all, and the recovery of what a crash left.
//
// The format is that of the kernel's documentation, filesystems/ext4/journal.rst;
// e2fsck and Linux read what it writes. Start reading at journal.go. commit.go writes
// a transaction to the log, checkpoint.go writes the blocks of committed transactions
// to their places in the file system, replay.go is recovery.
//
// A block's place is where the file system has it: what a block number says.
//
// # Rules for callers
//
// A block is changed only between Begin and End, after Handle.Dirty, under the
// caller's own lock. A goroutine has at most one handle and calls neither Commit
// nor Checkpoint nor Begin while it has one. Locks that OnCommit functions take
// must not be held around Begin, Commit or Checkpoint.
package jbd2
