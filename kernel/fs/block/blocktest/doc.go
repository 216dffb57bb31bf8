// Package blocktest has devices for tests of file systems: memory, files of the
// host, and devices that record, lose, tear, fail and hang.
package blocktest
