// Lets functions without a body (machine_yolk.go) be declared.
