package clock

import (
	"encoding/binary"
	"math/big"
	"math/rand/v2"
	"testing"
)

// exact is n*factor>>32 without an end.
func exact(n, factor uint64) *big.Int {
	v := new(big.Int).SetUint64(n)
	v.Mul(v, new(big.Int).SetUint64(factor))
	return v.Rsh(v, 32)
}

func testScale(t *testing.T, n, factor uint64) {
	want := exact(n, factor)
	want.And(want, new(big.Int).SetUint64(^uint64(0)))
	if got := Scale(n, factor); got != want.Uint64() {
		t.Errorf("Scale(%d, %#x) = %d; want %d", n, factor, got, want)
	}
}

func testFactor(t *testing.T, a, b uint64) {
	got := Factor(a, b)
	if b != 0 {
		want := new(big.Int).SetUint64(a)
		want.Lsh(want, 32).Quo(want, new(big.Int).SetUint64(b))
		if want.IsUint64() && got == want.Uint64() || !want.IsUint64() && got == ^uint64(0) {
			return
		}
		t.Errorf("Factor(%d, %d) = %d; want %d", a, b, got, want)
	} else if got != ^uint64(0) {
		t.Errorf("Factor(%d, 0) = %d; want the largest", a, got)
	}
}

func FuzzArithmetic(f *testing.F) {
	f.Add(uint64(3_000_000_000), uint64(1e9<<32/3_000_000_000))
	f.Add(^uint64(0), ^uint64(0))
	f.Add(uint64(1), uint64(0))
	f.Fuzz(func(t *testing.T, a, b uint64) {
		testScale(t, a, b)
		testFactor(t, a, b)
		if got := Ticks(int64(a), b); int64(a) <= 0 && got != 1 || got == 0 {
			t.Errorf("Ticks(%d, %#x) = %d", int64(a), b, got)
		}
		if got := Nanos(int64(a), int64(b%1e9)); got < 1 || got > 9e18+1e9 {
			t.Errorf("Nanos(%d, %d) = %d", int64(a), b%1e9, got)
		}
	})
}

// testRate changes a clock's rate now and then, and reads it in between: it never goes
// back, a change is no step, and it stays within a nanosecond for each change of the sum
// of its parts.
func testRate(t *testing.T, b []byte) {
	tsc := uint64(12345)
	r := Rate{TSC: tsc, Mult: 1 << 32}
	sum := new(big.Int)
	last, changes := uint64(0), int64(0)
	for ; len(b) >= 8; b = b[8:] {
		advance := uint64(binary.LittleEndian.Uint32(b)) << (b[7] % 8)
		sum.Add(sum, exact(advance, r.Mult))
		changes++
		for _, part := range []uint64{advance / 2, advance - advance/2} {
			tsc += part
			now := r.At(tsc)
			if now < last {
				t.Fatalf("the clock goes back from %d to %d", last, now)
			}
			last = now
		}
		// From 100 MHz to 10 GHz.
		r.Change(tsc, Factor(1e9, 100e6+uint64(b[4])<<16*600))
		if now := r.At(tsc); now != last {
			t.Fatalf("a change of the rate is a step from %d to %d", last, now)
		}
	}
	off := new(big.Int).Sub(new(big.Int).SetUint64(last), sum)
	if off.CmpAbs(big.NewInt(changes)) > 0 {
		t.Errorf("after %d changes the clock is off by %d ns", changes, off)
	}
}

func TestRate(t *testing.T) {
	for seed := range 100 {
		r := rand.New(rand.NewPCG(uint64(seed), 6))
		b := make([]byte, 8*100)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		testRate(t, b)
	}
}

func FuzzRate(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 9, 0, 0, 0, 255, 255, 255, 255, 255, 0, 0, 7})
	f.Fuzz(func(t *testing.T, b []byte) { testRate(t, b[:min(len(b), 8*1000)]) })
}

// board is a machine's counters.
type board struct{ tsc, apic float64 } // Hz

// at samples them ns after they began to count.
func (b board) at(ns float64) *Sample {
	return &Sample{
		PIT:  0xffff - uint16(uint64(ns*PITHz/1e9)),
		TSC:  1e12 + uint64(ns*b.tsc/1e9),
		APIC: ^uint32(0) - uint32(uint64(ns*b.apic/1e9)),
	}
}

func near(got uint64, want, by float64) bool {
	return float64(got) > want*(1-by) && float64(got) < want*(1+by)
}

// Calibration finds the rates of any machine as well as a tick of the interval timer
// allows, and exactly where the TSC's is known.
func TestCalibrate(t *testing.T) {
	const one = 1 << 32
	r := rand.New(rand.NewPCG(1, 7))
	for range 1000 {
		b := board{tsc: 5e8 + r.Float64()*5e9, apic: 1e7 + r.Float64()*1e9}
		from, wait := r.Float64()*3e5, 5e5+r.Float64()*45e6
		start, end := b.at(from), b.at(from+wait)
		by := 2 * 1e9 / PITHz / wait
		got := Calibrate(start, end, 0)
		if !near(got.Clock, one*1e9/b.tsc, by) || !near(got.TSC, one*b.tsc/1e9, by) || !near(got.APIC, one*b.apic/1e9, by) {
			t.Errorf("%.0f Hz, %.0f Hz over %.0f ns: %+v", b.tsc, b.apic, wait, got)
		}
		const exactly = 1e-3 // of a reading of the APIC's timer
		got = Calibrate(start, end, uint64(b.tsc))
		if !near(got.Clock, one*1e9/b.tsc, 1e-6) || !near(got.TSC, one*b.tsc/1e9, 1e-5) || !near(got.APIC, one*b.apic/1e9, exactly) {
			t.Errorf("%.0f Hz, known, %.0f Hz over %.0f ns: %+v", b.tsc, b.apic, wait, got)
		}
	}
}

// Counters that stand still, as devices that are not there, end in no division by zero.
func TestCalibrateNothing(t *testing.T) {
	var s Sample
	for _, hz := range []uint64{0, 1e9} {
		if got := Calibrate(&s, &s, hz); got.Clock == 0 {
			t.Errorf("with nothing that counts: %+v", got)
		}
	}
}

func TestTicks(t *testing.T) {
	half := Factor(1, 2)
	for _, c := range []struct {
		d      int64
		factor uint64
		want   uint32
	}{
		{-5, half, 1}, {0, half, 1}, {1, half, 1}, {1000, half, 500},
		{1e9, Factor(1e9, 1e9), 1e9}, {1e9, Factor(5e9, 1e9), 1<<32 - 1}, {1e9, 0, 1},
	} {
		if got := Ticks(c.d, c.factor); got != c.want {
			t.Errorf("Ticks(%d, %#x) = %d; want %d", c.d, c.factor, got, c.want)
		}
	}
}

func TestNanos(t *testing.T) {
	for _, c := range []struct{ sec, nsec, want int64 }{
		{0, 0, 1}, {0, 1, 1}, {1, 5, 1e9 + 5}, {-1, 0, 1}, {-1 << 63, 999, 1}, {1 << 62, 0, 9e18}, {9e9, 999_999_999, 9e18 + 999_999_999},
	} {
		if got := Nanos(c.sec, c.nsec); got != c.want {
			t.Errorf("Nanos(%d, %d) = %d; want %d", c.sec, c.nsec, got, c.want)
		}
	}
}

// kvmScale is kvm_get_time_scale of Linux (arch/x86/kvm/x86.c): how KVM tells a rate.
func kvmScale(hz uint64) (mul uint32, shift int8) {
	const scaled = 1e9
	base := hz
	for base > scaled*2 {
		base >>= 1
		shift--
	}
	for base <= scaled {
		base <<= 1
		shift++
	}
	return uint32(scaled << 32 / base), shift
}

func TestKVMHz(t *testing.T) {
	for hz := uint64(100e6); hz < 20e9; hz += 37e6 {
		mul, shift := kvmScale(hz)
		if got := KVMHz(mul, shift); !near(got, float64(hz), 1e-8) {
			t.Errorf("KVMHz(%d, %d) = %d; want %d", mul, shift, got, hz)
		}
	}
	if got := KVMHz(0, 0); got != 0 {
		t.Errorf("KVMHz of nothing = %d", got)
	}
}
