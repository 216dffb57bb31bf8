//go:build tamago

// Package certs.
package certs
