module example.test/board

go 1.26.2

require github.com/usbarmory/tamago v1.26.3
