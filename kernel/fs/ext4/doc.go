// Package ext4 reads and writes ext4, the file system of Linux, on a block.Device.
//
// The layout is that of the kernel's Documentation/filesystems/ext4 and of
// e2fsprogs: superblock (super.go), groups and their bitmaps (group.go,
// bitmap.go), inodes (inode.go), extent trees (extent.go), old block maps
// (indirect.go), directories with hashed indexes (dir.go, htree.go), extended
// attributes (xattr.go) and lists of orphans (orphan.go). What changes them begins in
// write.go (data), truncate.go, names.go and rename.go, with a handle of the journal
// (op.go) and blocks of space.go; sync.go makes it durable. format.go makes file systems.
// Start at Mount in mount.go. Package jbd2 below it keeps the metadata consistent.
//
// Data does not pass through this package's memory. A page cache above calls
// Inode.WriteRuns, which allocates blocks in memory only (delayed allocation), writes the
// data, waits for the device, and then records in a transaction where the data lies. So a
// committed transaction never points to data that is not on the device, and transactions
// keep no lists of pages: the guarantee of ordered mode without its lists.
//
// Locks, in the order in which they are taken:
//
//	FS.rename       one rename between two directories at a time
//	FS.lazy.writing one Sync at a time journals times
//	Inode.data      shared by reads and writes of data, exclusive where blocks are freed
//	Inode.grow      one writer that allocates at a time
//	Inode.syncing   one Fsync of the inode at a time
//	Inode.mu        names, size, extents and attributes; a directory before the
//	                inodes in it, otherwise by inode number
//	a handle        jbd2.Journal.Begin; while it is open, none of the above is waited for
//	FS.orphans      the list of orphans
//	FS.attrShare    reference counts of shared attribute blocks
//	Inode.slot      the inode's bytes in the inode table
//	group.mu        bitmaps and descriptor of one group
//	FS.superMu      the superblock's buffer
//
// The locks of the table of inodes, of reservations, of preallocated blocks, of the set of
// lazy times and of discards are held for a few lines and come last.
//
// Every number from the disk is checked before it is used. A wrong one gives a line in the
// log and EIO. An error inside a handle that has changed something aborts the journal: the
// file system is read-only from then on.
package ext4
