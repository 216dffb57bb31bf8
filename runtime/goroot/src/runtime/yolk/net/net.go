//go:build tamago

// Package net.
package net
