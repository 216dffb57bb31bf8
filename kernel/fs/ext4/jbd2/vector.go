package jbd2

import (
	"syscall"

	"github.com/yolk-unikernel/yolk/kernel/fs/block"
)

// vector collects copies of blocks in ascending order and writes neighbours together.
type vector struct {
	dev       block.Device
	blockSize int
	space     []byte
	blocks    []uint64
}

const vectorBytes = 256 << 10

// newVector makes a vector for count blocks in all.
func newVector(dev block.Device, blockSize int, count int) *vector {
	return &vector{dev: dev, blockSize: blockSize, space: make([]byte, min(vectorBytes, count*blockSize))}
}

func (v *vector) full() bool { return (len(v.blocks)+1)*v.blockSize > len(v.space) }

// add returns room for a block; it writes the vector first if the block does not fit.
func (v *vector) add(block uint64) ([]byte, syscall.Errno) {
	if v.full() {
		if e := v.write(); e != 0 {
			return nil, e
		}
	}
	at := len(v.blocks) * v.blockSize
	v.blocks = append(v.blocks, block)
	return v.space[at : at+v.blockSize : at+v.blockSize], 0
}

// write writes and empties the vector.
func (v *vector) write() syscall.Errno {
	var list []block.Write
	for i := 0; i < len(v.blocks); {
		n := 1
		for i+n < len(v.blocks) && v.blocks[i+n] == v.blocks[i]+uint64(n) {
			n++
		}
		p := v.space[i*v.blockSize : (i+n)*v.blockSize]
		list = append(list, block.Write{Bufs: [][]byte{p}, Off: int64(v.blocks[i]) * int64(v.blockSize)})
		i += n
	}
	v.blocks = v.blocks[:0]
	return block.WriteAll(v.dev, list)
}
