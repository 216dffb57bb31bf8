// Package dep is of another module.
package dep
