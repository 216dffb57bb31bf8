module example.test/smoke

go 1.26
