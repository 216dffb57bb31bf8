//go:build !yolk

package zoneinfo

// archive is what a test sets.
var archive string
