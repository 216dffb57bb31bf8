// Lets functions without a body (machine_tamago.go) be declared.
