package snapshot

import (
	"debug/dwarf"
	"encoding/binary"
	"errors"
	"fmt"
)

// reader records the first error of views, so that a chain of fields reads as in Go source and is
// checked once.
type reader struct {
	space Space
	err   error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
}

// view is a variable of a type at an address of the guest.
type view struct {
	r    *reader
	addr uint64
	typ  dwarf.Type
}

// plain resolves the names of types.
func plain(t dwarf.Type) dwarf.Type {
	for {
		d, ok := t.(*dwarf.TypedefType)
		if !ok {
			return t
		}
		t = d.Type
	}
}

// field returns a field of a struct.
func (v view) field(name string) view {
	s, _ := plain(v.typ).(*dwarf.StructType)
	if s != nil {
		for _, f := range s.Field {
			if f.Name == name {
				return view{v.r, v.addr + uint64(f.ByteOffset), f.Type}
			}
		}
	}
	v.r.fail("%v has no field %s", v.typ, name)
	return view{v.r, 0, nil}
}

// at returns element i of an array that starts at v.
func (v view) at(i uint64) view {
	if a, ok := plain(v.typ).(*dwarf.ArrayType); ok {
		return view{v.r, v.addr, a.Type}.at(i)
	}
	if v.typ == nil {
		v.r.fail("no array")
		return v
	}
	return view{v.r, v.addr + i*uint64(v.typ.Size()), v.typ}
}

// deref follows a pointer.
func (v view) deref() view {
	p, ok := plain(v.typ).(*dwarf.PtrType)
	if !ok {
		v.r.fail("%v is no pointer", v.typ)
		return view{v.r, 0, nil}
	}
	return view{v.r, v.uint(), p.Type}
}

// uint reads an integer, a bool or a pointer; 0 after an error.
func (v view) uint() uint64 {
	if v.r.err != nil {
		return 0
	}
	if v.typ == nil || v.typ.Size() < 1 || v.typ.Size() > 8 {
		v.r.err = errors.New("no number")
		return 0
	}
	var b [8]byte
	if err := v.r.space.read(b[:v.typ.Size()], v.addr); err != nil {
		v.r.err = err
		return 0
	}
	return binary.LittleEndian.Uint64(b[:])
}
