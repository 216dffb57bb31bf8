// Package jbd2 is the journal of ext4: a cache of metadata blocks, transactions
// that change them all or not at all, and the recovery of what a crash left.
package jbd2
