module github.com/yolk-unikernel/yolk

go 1.26.0
