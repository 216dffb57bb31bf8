module example.test/boards

go 1.26.8

require (
	github.com/usbarmory/tamago v1.26.3
	github.com/yolk-unikernel/yolk v0.0.0
)

replace github.com/yolk-unikernel/yolk => ../../..
