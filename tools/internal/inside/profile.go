package inside

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/google/pprof/profile"
)

// maxStack is how many return addresses a sample may have: the runtime keeps fewer.
const maxStack = 1024

// ErrProfile says that a guest's profile cannot be read.
var ErrProfile = errors.New("what the guest sends is not a profile: its image is of another version of yolk, or its memory is damaged")

// Heap makes a profile for go tool pprof of the guest's answer to heap: the bytes between two samples, then for each place that
// allocates bytes and objects, allocated and freed, and the return addresses with their number before them.
func Heap(answer []byte, symbols *Symbols) (*profile.Profile, error) {
	words, err := wordsOf(answer)
	if err != nil || len(words) == 0 || words[0] > 1<<40 {
		return nil, ErrProfile
	}
	rate := int64(words[0])
	p := &profile.Profile{
		SampleType: []*profile.ValueType{
			{Type: "alloc_objects", Unit: "count"}, {Type: "alloc_space", Unit: "bytes"},
			{Type: "inuse_objects", Unit: "count"}, {Type: "inuse_space", Unit: "bytes"},
		},
		PeriodType: &profile.ValueType{Type: "space", Unit: "bytes"}, Period: rate,
		DefaultSampleType: "inuse_space", TimeNanos: time.Now().UnixNano(),
	}
	b := builder{p: p, symbols: symbols}
	for words = words[1:]; len(words) > 0; {
		if len(words) < 5 || words[4] > maxStack || words[4] > uint64(len(words)-5) {
			return nil, ErrProfile
		}
		bytes, freed, objects, freedObjects := int64(words[0]), int64(words[1]), int64(words[2]), int64(words[3])
		stack := symbols.outsideRuntime(words[5 : 5+words[4]])
		words = words[5+words[4]:]
		allocObjects, allocBytes := scale(objects, bytes, rate)
		liveObjects, liveBytes := scale(objects-freedObjects, bytes-freed, rate)
		size := int64(0)
		if objects > 0 {
			size = bytes / objects
		}
		b.add(stack, []int64{allocObjects, allocBytes, liveObjects, liveBytes}, size)
	}
	return p, p.CheckValid()
}

// CPU makes a profile for go tool pprof of the guest's answers to profile: either it is one already, or it is what the runtime
// keeps: records of their length in words, a time, a count and return addresses. The first has the rate in hertz in place
// of the count. One with the count 0 tells how many samples were lost.
func CPU(answer []byte, length time.Duration, symbols *Symbols) (*profile.Profile, error) {
	if bytes.HasPrefix(answer, []byte{0x1f, 0x8b}) {
		p, err := profile.ParseData(answer)
		if err != nil {
			return nil, ErrProfile
		}
		return p, nil
	}
	words, err := wordsOf(answer)
	if err != nil || len(words) < 3 || words[0] != 3 || words[2] == 0 || words[2] > 1e6 {
		return nil, ErrProfile
	}
	period := int64(1e9 / words[2])
	p := &profile.Profile{
		SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}, {Type: "cpu", Unit: "nanoseconds"}},
		PeriodType: &profile.ValueType{Type: "cpu", Unit: "nanoseconds"}, Period: period,
		DurationNanos: int64(length), TimeNanos: time.Now().Add(-length).UnixNano(),
	}
	b := builder{p: p, symbols: symbols}
	for words = words[3:]; len(words) > 0; {
		n := words[0]
		if n < 3 || n > maxStack || n > uint64(len(words)) {
			return nil, ErrProfile
		}
		count, stack := words[2], words[3:n]
		words = words[n:]
		if count == 0 || count > 1<<32 {
			continue
		}
		b.add(stack, []int64{int64(count), int64(count) * period}, 0)
	}
	return p, p.CheckValid()
}

func wordsOf(b []byte) ([]uint64, error) {
	if len(b)%8 != 0 {
		return nil, ErrProfile
	}
	words := make([]uint64, 0, len(b)/8)
	for ; len(b) > 0; b = b[8:] {
		words = append(words, binary.LittleEndian.Uint64(b))
	}
	return words, nil
}

// builder adds samples to a profile.
type builder struct {
	p         *profile.Profile
	symbols   *Symbols
	samples   map[string]*profile.Sample
	locations map[uint64]*profile.Location
	functions map[string]*profile.Function
}

// add adds a sample; those of one stack and size are one.
func (b *builder) add(stack []uint64, values []int64, size int64) {
	key := fmt.Sprint(size, stack)
	if s := b.samples[key]; s != nil {
		for i := range values {
			s.Value[i] += values[i]
		}
		return
	}
	s := &profile.Sample{Value: values}
	if size > 0 {
		s.NumLabel = map[string][]int64{"bytes": {size}}
	}
	for _, pc := range stack {
		if pc > 0 {
			pc-- // they are return addresses, also the first: the instruction before is meant
		}
		s.Location = append(s.Location, b.location(pc))
	}
	if b.samples == nil {
		b.samples = map[string]*profile.Sample{}
	}
	b.samples[key] = s
	b.p.Sample = append(b.p.Sample, s)
}

func (b *builder) location(pc uint64) *profile.Location {
	if l := b.locations[pc]; l != nil {
		return l
	}
	if b.locations == nil {
		b.locations, b.functions = map[uint64]*profile.Location{}, map[string]*profile.Function{}
	}
	if len(b.p.Mapping) == 0 {
		b.p.Mapping = []*profile.Mapping{b.symbols.mapping()}
	}
	l := &profile.Location{ID: uint64(len(b.p.Location) + 1), Address: pc, Mapping: b.p.Mapping[0]}
	for _, c := range b.symbols.Calls(pc) {
		f := b.functions[c.Func]
		if f == nil {
			f = &profile.Function{ID: uint64(len(b.p.Function) + 1), Name: c.Func, SystemName: c.Func, Filename: c.File}
			b.functions[c.Func] = f
			b.p.Function = append(b.p.Function, f)
		}
		l.Line = append(l.Line, profile.Line{Function: f, Line: int64(c.Line)})
	}
	b.locations[pc] = l
	b.p.Location = append(b.p.Location, l)
	return l
}
