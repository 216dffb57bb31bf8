package netcalls

import (
	"encoding/binary"
	"syscall"
	"testing"
)

// Headers of requests: struct ifinfomsg, ifaddrmsg and rtmsg.
func linkHeader(index, flags, change int) []byte {
	h := append(make([]byte, 4), le32(index)...)
	return append(append(h, le32(flags)...), le32(change)...)
}

func addrHeader(family, bits, scope, index int) []byte {
	return append([]byte{byte(family), byte(bits), 0, byte(scope)}, le32(index)...)
}

func routeHeader(family, bits int) []byte {
	return []byte{byte(family), byte(bits), 0, 0, syscall.RT_TABLE_MAIN, syscall.RTPROT_STATIC, 0, syscall.RTN_UNICAST, 0, 0, 0, 0}
}

const (
	in4       = syscall.AF_INET
	in6       = syscall.AF_INET6
	create    = syscall.NLM_F_CREATE
	exclusive = syscall.NLM_F_EXCL
	replace   = syscall.NLM_F_REPLACE
	attach    = syscall.NLM_F_APPEND
)

// up and down change an interface.
func (w *world) up(index int) {
	w.set("up", syscall.RTM_NEWLINK, 0, linkHeader(index, syscall.IFF_UP, syscall.IFF_UP))
}

func (w *world) down(index int) {
	w.set("down", syscall.RTM_NEWLINK, 0, linkHeader(index, 0, syscall.IFF_UP))
}

// address adds an address to an interface.
func (w *world) address(what string, flags, index int, addr string, bits int) {
	family := in4
	if len(ip(addr)) == 16 {
		family = in6
	}
	w.set(what, syscall.RTM_NEWADDR, flags, addrHeader(family, bits, 0, index), attr{syscall.IFA_LOCAL, ip(addr)}, attr{syscall.IFA_ADDRESS, ip(addr)})
}

func (w *world) noAddress(what string, index int, addr string, bits int) {
	family := in4
	if len(ip(addr)) == 16 {
		family = in6
	}
	w.set(what, syscall.RTM_DELADDR, 0, addrHeader(family, bits, 0, index), attr{syscall.IFA_LOCAL, ip(addr)}, attr{syscall.IFA_ADDRESS, ip(addr)})
}

func TestLinks(t *testing.T) {
	compare(t, func(w *world) {
		w.up(1)
		w.tun("t0", iffTun|iffNoPI)
		w.show(syscall.RTM_GETLINK)
		w.up(2)
		w.show(syscall.RTM_GETLINK)
		w.tun("t1", iffTap)
		w.show(syscall.RTM_GETLINK)
		name := func(s string) attr { return attr{syscall.IFLA_IFNAME, append([]byte(s), 0)} }
		mtu := func(n int) attr { return attr{syscall.IFLA_MTU, le32(n)} }
		none := linkHeader(0, 0, 0)
		w.set("mtu", syscall.RTM_NEWLINK, 0, linkHeader(2, 0, 0), mtu(1420))
		w.set("mtu, by name", syscall.RTM_SETLINK, 0, none, name("t1"), mtu(1400))
		w.set("small mtu", syscall.RTM_NEWLINK, 0, linkHeader(2, 0, 0), mtu(67))
		w.set("large mtu", syscall.RTM_NEWLINK, 0, linkHeader(2, 0, 0), mtu(65536))
		w.set("largest mtu", syscall.RTM_NEWLINK, 0, linkHeader(2, 0, 0), mtu(65535))
		w.set("large mtu of tap", syscall.RTM_NEWLINK, 0, linkHeader(3, 0, 0), mtu(65522))
		w.set("largest mtu of tap", syscall.RTM_NEWLINK, 0, linkHeader(3, 0, 0), mtu(65521))
		w.set("no such index", syscall.RTM_NEWLINK, 0, linkHeader(77, 0, 0), mtu(1420))
		w.set("no such name", syscall.RTM_SETLINK, 0, none, name("none"), mtu(1420))
		w.set("nobody", syscall.RTM_NEWLINK, 0, none, mtu(1420))
		w.set("there already", syscall.RTM_NEWLINK, create|exclusive, none, name("t0"))
		w.set("new without a kind", syscall.RTM_NEWLINK, create|exclusive, none, name("t9"))
		kind := attr{18, append([]byte{8, 0, 1, 0}, "tun\x00"...)}
		w.set("new tun", syscall.RTM_NEWLINK, create|exclusive, none, name("t9"), kind)
		w.set("new thing", syscall.RTM_NEWLINK, create|exclusive, none, name("t9"), attr{18, append([]byte{10, 0, 1, 0}, "thing\x00"...)})
		w.set("other name", syscall.RTM_NEWLINK, 0, linkHeader(3, 0, 0), name("t2"))
		w.set("taken name", syscall.RTM_NEWLINK, 0, linkHeader(3, 0, 0), name("t0"))
		w.set("bad name", syscall.RTM_NEWLINK, 0, linkHeader(3, 0, 0), name("a/b"))
		w.show(syscall.RTM_GETLINK)
		w.down(2)
		w.show(syscall.RTM_GETLINK)
		w.set("remove", syscall.RTM_DELLINK, 0, linkHeader(2, 0, 0))
		w.set("remove by name", syscall.RTM_DELLINK, 0, none, name("t2"))
		w.set("remove none", syscall.RTM_DELLINK, 0, linkHeader(2, 0, 0))
		w.set("remove lo", syscall.RTM_DELLINK, 0, linkHeader(1, 0, 0))
		w.set("remove nobody", syscall.RTM_DELLINK, 0, none)
		w.show(syscall.RTM_GETLINK)
	})
}

func TestAddresses(t *testing.T) {
	compare(t, func(w *world) {
		w.up(1)
		w.tun("t0", iffTun|iffNoPI)
		w.address("before up", create|exclusive, 2, "10.1.0.1", 24)
		w.show(syscall.RTM_GETADDR, syscall.RTM_GETROUTE)
		w.up(2)
		w.show(syscall.RTM_GETADDR, syscall.RTM_GETROUTE)
		w.address("twice", create|exclusive, 2, "10.1.0.1", 24)
		w.address("twice, without flags", 0, 2, "10.1.0.1", 24)
		w.address("again", create|replace, 2, "10.1.0.1", 24)
		w.address("another", create|exclusive, 2, "10.2.0.1", 16)
		w.address("one alone", create|exclusive, 2, "10.3.0.1", 32)
		w.address("IPv6", create|exclusive, 2, "fd00::1", 64)
		w.address("IPv6 twice", create|exclusive, 2, "fd00::1", 64)
		w.address("IPv6 again", create|replace, 2, "fd00::1", 64)
		w.address("IPv6 alone", create|exclusive, 2, "fd01::1", 128)
		w.show(syscall.RTM_GETADDR, syscall.RTM_GETROUTE)
		w.address("no such card", create|exclusive, 9, "10.4.0.1", 24)
		w.address("no such card, IPv6", create|exclusive, 9, "fd02::1", 64)
		w.address("long prefix", create|exclusive, 2, "10.4.0.1", 33)
		w.address("long prefix, IPv6", create|exclusive, 2, "fd02::1", 129)
		w.address("IPv6 group", create|exclusive, 2, "ff02::5", 64)
		w.address("IPv6 nothing", create|exclusive, 2, "::", 64)
		w.address("IPv6 loopback", create|exclusive, 2, "::1", 128)
		w.set("no address", syscall.RTM_NEWADDR, create, addrHeader(in4, 24, 0, 2))
		w.set("short address", syscall.RTM_NEWADDR, create, addrHeader(in4, 24, 0, 2), attr{syscall.IFA_LOCAL, []byte{1, 2}})
		w.set("short header", syscall.RTM_NEWADDR, create, []byte{in4, 0, 0, 0})
		w.set("other family", syscall.RTM_NEWADDR, create, addrHeader(99, 24, 0, 2), attr{syscall.IFA_LOCAL, ip("10.4.0.1")})
		ends := append(append(le32(5), le32(3)...), make([]byte, 8)...)
		w.set("bad lifetime", syscall.RTM_NEWADDR, create, addrHeader(in4, 24, 0, 2), attr{syscall.IFA_LOCAL, ip("10.4.0.1")}, attr{syscall.IFA_CACHEINFO, ends})
		w.set("no route", syscall.RTM_NEWADDR, create, addrHeader(in4, 24, 0, 2), attr{syscall.IFA_LOCAL, ip("10.5.0.1")}, attr{8, le32(0x200)})
		w.set("metric", syscall.RTM_NEWADDR, create, addrHeader(in4, 24, 0, 2), attr{syscall.IFA_LOCAL, ip("10.6.0.1")}, attr{9, le32(77)})
		w.show(syscall.RTM_GETADDR, syscall.RTM_GETROUTE)
		w.noAddress("remove", 2, "10.2.0.1", 16)
		w.noAddress("remove twice", 2, "10.2.0.1", 16)
		w.noAddress("remove other length", 2, "10.1.0.1", 25)
		w.noAddress("remove IPv6", 2, "fd00::1", 64)
		w.noAddress("remove IPv6 twice", 2, "fd00::1", 64)
		w.noAddress("remove, no card", 9, "10.1.0.1", 24)
		w.noAddress("remove IPv6, no card", 9, "fd00::1", 24)
		w.show(syscall.RTM_GETADDR, syscall.RTM_GETROUTE)
		w.down(2)
		w.show(syscall.RTM_GETADDR, syscall.RTM_GETROUTE)
		w.up(2)
		w.show(syscall.RTM_GETADDR, syscall.RTM_GETROUTE)
		for _, a := range []string{"10.1.0.1", "10.3.0.1", "10.5.0.1", "10.6.0.1"} {
			w.noAddress("remove "+a, 2, a, map[string]int{"10.3.0.1": 32}[a]|24)
		}
		w.show(syscall.RTM_GETADDR, syscall.RTM_GETROUTE)
	})
}

func TestRoutes(t *testing.T) {
	compare(t, func(w *world) {
		w.up(1)
		w.tun("t0", iffTun|iffNoPI)
		w.tun("t1", iffTun|iffNoPI)
		dst := func(s string) attr { return attr{syscall.RTA_DST, ip(s)} }
		via := func(s string) attr { return attr{syscall.RTA_GATEWAY, ip(s)} }
		from := func(s string) attr { return attr{syscall.RTA_PREFSRC, ip(s)} }
		dev := func(n int) attr { return attr{syscall.RTA_OIF, le32(n)} }
		metric := func(n int) attr { return attr{syscall.RTA_PRIORITY, le32(n)} }
		four := func(what string, flags, bits int, attrs ...attr) {
			w.set(what, syscall.RTM_NEWROUTE, flags, routeHeader(in4, bits), attrs...)
		}
		six := func(what string, flags, bits int, attrs ...attr) {
			w.set("IPv6 "+what, syscall.RTM_NEWROUTE, flags, routeHeader(in6, bits), attrs...)
		}
		noFour := func(what string, bits int, attrs ...attr) {
			h := routeHeader(in4, bits)
			h[5], h[6], h[7] = 0, syscall.RT_SCOPE_NOWHERE, 0
			w.set("no "+what, syscall.RTM_DELROUTE, 0, h, attrs...)
		}
		noSix := func(what string, bits int, attrs ...attr) {
			h := routeHeader(in6, bits)
			h[5], h[6], h[7] = 0, syscall.RT_SCOPE_NOWHERE, 0
			w.set("IPv6 no "+what, syscall.RTM_DELROUTE, 0, h, attrs...)
		}
		const add = create | exclusive
		four("card down", add, 24, dst("10.9.0.0"), dev(2))
		six("card down", add, 64, dst("fd09::"), dev(2))
		w.up(2)
		w.up(3)
		w.address("address", add, 2, "10.1.0.1", 24)
		w.address("address", add, 3, "10.2.0.1", 24)
		w.address("IPv6 address", add, 2, "fd01::1", 64)
		w.address("IPv6 address", add, 3, "fd02::1", 64)
		four("link", add, 24, dst("10.9.0.0"), dev(2))
		four("link twice", add, 24, dst("10.9.0.0"), dev(2))
		four("link twice, not exclusive", create, 24, dst("10.9.0.0"), dev(2))
		four("link by another card", create|attach, 24, dst("10.9.0.0"), dev(3))
		four("link of lower metric", add, 24, dst("10.19.0.0"), dev(3), metric(7))
		four("link of higher metric", add, 24, dst("10.19.0.0"), dev(2), metric(5))
		four("gateway", add, 24, dst("10.8.0.0"), via("10.1.0.2"))
		four("gateway, other metric", add, 24, dst("10.8.0.0"), via("10.2.0.2"), metric(9))
		four("default", add, 0, via("10.2.0.9"), metric(3))
		four("unreachable gateway", add, 24, dst("10.7.0.0"), via("172.16.0.1"))
		four("gateway of another card", add, 24, dst("10.7.0.0"), via("10.2.0.2"), dev(2))
		four("no card", add, 24, dst("10.7.0.0"), dev(9))
		four("neither", add, 24, dst("10.7.0.0"))
		four("host bits", add, 24, dst("10.7.0.1"), dev(2))
		four("long prefix", add, 33, dst("10.7.0.1"), dev(2))
		four("bad source", add, 24, dst("10.7.0.0"), dev(2), from("1.2.3.4"))
		four("source", add, 24, dst("10.7.0.0"), dev(2), from("10.1.0.1"))
		four("only change", replace, 24, dst("10.6.0.0"), dev(2))
		four("only change what is there", replace, 24, dst("10.19.0.0"), dev(3), metric(7))
		four("no flags", 0, 24, dst("10.6.0.0"), dev(2))
		four("replace", create|replace, 24, dst("10.8.0.0"), via("10.1.0.3"))
		four("replace by the same", create|replace, 24, dst("10.8.0.0"), via("10.1.0.3"))
		four("replace nothing", create|replace, 24, dst("10.5.0.0"), dev(3))
		h := routeHeader(in4, 24)
		h[8] = 4
		w.set("on the link", syscall.RTM_NEWROUTE, add, h, dst("10.4.0.0"), via("172.16.0.1"), dev(3))
		h = routeHeader(in4, 24)
		h[7] = 99
		w.set("bad type", syscall.RTM_NEWROUTE, add, h, dst("10.3.0.0"), dev(3))
		w.show(syscall.RTM_GETROUTE)
		six("link", add, 64, dst("fd09::"), dev(2))
		six("link twice", add, 64, dst("fd09::"), dev(2))
		six("link twice, not exclusive", create, 64, dst("fd09::"), dev(2))
		six("other metric", add, 64, dst("fd09::"), dev(3), metric(5))
		six("gateway", add, 64, dst("fd08::"), via("fd01::2"))
		six("unreachable gateway", add, 64, dst("fd07::"), via("fd77::1"))
		six("own gateway", add, 64, dst("fd07::"), via("fd01::1"))
		six("no card", add, 64, dst("fd07::"), dev(9))
		six("neither", add, 64, dst("fd07::"))
		six("host bits", add, 64, dst("fd07::5"), dev(2))
		six("long prefix", add, 129, dst("fd07::5"), dev(2))
		six("only change", replace, 64, dst("fd06::"), dev(2))
		six("no flags", 0, 64, dst("fd05::"), dev(2))
		six("replace", create|replace, 64, dst("fd08::"), via("fd02::2"))
		w.show(syscall.RTM_GETROUTE)
		noFour("such route", 24, dst("10.66.0.0"), dev(2))
		noFour("route by that card", 24, dst("10.7.0.0"), dev(3))
		noFour("route by that gateway", 24, dst("10.8.0.0"), via("10.1.0.77"))
		noFour("route of that metric", 24, dst("10.8.0.0"), metric(77))
		noFour("route", 24, dst("10.7.0.0"))
		noFour("gateway", 24, dst("10.8.0.0"), via("10.1.0.3"))
		noFour("default", 0)
		noSix("such route", 64, dst("fd66::"), dev(2))
		noSix("gateway", 64, dst("fd08::"), via("fd02::2"))
		noSix("link", 64, dst("fd07::"), dev(2))
		w.show(syscall.RTM_GETROUTE)
		w.down(2)
		w.show(syscall.RTM_GETROUTE)
		w.set("card removed", syscall.RTM_DELLINK, 0, linkHeader(3, 0, 0))
		w.show(syscall.RTM_GETROUTE, syscall.RTM_GETADDR)
	})
}

func TestNeighbors(t *testing.T) {
	compare(t, func(w *world) {
		w.up(1)
		w.tun("t0", iffTap|iffNoPI)
		w.up(2)
		w.address("address", create, 2, "10.1.0.1", 24)
		w.address("address", create, 2, "fd01::1", 64)
		header := func(family, index, state int) []byte {
			h := append([]byte{byte(family), 0, 0, 0}, le32(index)...)
			return append(append(h, le16(state)...), 0, 0)
		}
		const permanent = 0x80
		mac := func(b ...byte) attr { return attr{2, append([]byte{2, 0, 0, 0, 0}, b...)} }
		to := func(s string) attr { return attr{1, ip(s)} }
		add := func(what string, flags int, h []byte, attrs ...attr) {
			w.set(what, syscall.RTM_NEWNEIGH, flags, h, attrs...)
		}
		add("new", create|exclusive, header(in4, 2, permanent), to("10.1.0.2"), mac(1))
		add("twice", create|exclusive, header(in4, 2, permanent), to("10.1.0.2"), mac(1))
		add("replace", create|replace, header(in4, 2, permanent), to("10.1.0.2"), mac(2))
		add("not there", 0, header(in4, 2, permanent), to("10.1.0.3"), mac(1))
		add("IPv6", create|exclusive, header(in6, 2, permanent), to("fd01::2"), mac(6))
		add("no card", create, header(in4, 9, permanent), to("10.1.0.3"), mac(1))
		add("card 0", create, header(in4, 0, permanent), to("10.1.0.3"), mac(1))
		add("no destination", create, header(in4, 2, permanent), mac(1))
		add("no address", create, header(in4, 2, permanent), to("10.1.0.3"))
		add("short address", create, header(in4, 2, permanent), to("10.1.0.3"), attr{2, []byte{1, 2, 3}})
		add("other family", create, header(99, 2, permanent), to("10.1.0.3"), mac(1))
		add("short destination", create, header(in4, 2, permanent), attr{1, []byte{1, 2}}, mac(1))
		w.neighbors()
		w.set("remove", syscall.RTM_DELNEIGH, 0, header(in4, 2, 0), to("10.1.0.2"))
		w.set("remove twice", syscall.RTM_DELNEIGH, 0, header(in4, 2, 0), to("10.1.0.77"))
		w.set("remove, no card", syscall.RTM_DELNEIGH, 0, header(in4, 9, 0), to("10.1.0.2"))
		w.set("remove IPv6", syscall.RTM_DELNEIGH, 0, header(in6, 2, 0), to("fd01::2"))
		w.neighbors()
	})
}

// neighbors logs the permanent entries.
func (w *world) neighbors() {
	for _, m := range w.ask(message(syscall.RTM_GETNEIGH, syscall.NLM_F_DUMP, make([]byte, 12))) {
		if len(m.Data) >= 12 && binary.NativeEndian.Uint16(m.Data[8:]) == 0x80 {
			w.log("neighbour %d %x", binary.NativeEndian.Uint32(m.Data[4:]), m.Data[12:min(32, len(m.Data))])
		}
	}
}
