//go:build tamago

// Lets functions without a body (goos.go) be declared.
