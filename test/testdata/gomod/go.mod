module example.test/gomod

go 1.26.0
