package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

const (
	port     = ":7"
	transfer = 2 << 20 // bytes, each way
	patience = time.Minute
)

// answer sends back what a connection has brought, and each datagram.
func answer() {
	l, err := net.Listen("tcp", port)
	check(err)
	go echoDatagrams()
	for {
		c, err := l.Accept()
		check(err)
		go func() {
			defer c.Close()
			_, err := io.Copy(c, c)
			check(err)
		}()
	}
}

func echoDatagrams() {
	u, err := net.ListenPacket("udp", port)
	check(err)
	for b := make([]byte, 1<<16); ; {
		n, from, err := u.ReadFrom(b)
		check(err)
		_, err = u.WriteTo(b[:n], from)
		check(err)
	}
}

// talk pings the peer and sends it data.
func talk(peer net.IP) {
	for _, size := range []int{56, 1300, 5000} { // the last one in fragments
		ping(peer, size)
	}
	datagram(peer, 1300)
	datagram(peer, 5000)
	stream(peer)
}

func ping(peer net.IP, size int) {
	network, own, protocol, echo, reply := "ip4:icmp", "0.0.0.0", 1, icmp.Type(ipv4.ICMPTypeEcho), icmp.Type(ipv4.ICMPTypeEchoReply)
	if peer.To4() == nil {
		network, own, protocol, echo, reply = "ip6:ipv6-icmp", "::", 58, ipv6.ICMPTypeEchoRequest, ipv6.ICMPTypeEchoReply
	}
	c, err := icmp.ListenPacket(network, own)
	check(err)
	defer c.Close()
	data := content(uint64(size), size)
	m := icmp.Message{Type: echo, Body: &icmp.Echo{ID: size, Seq: 1, Data: data}}
	b, err := m.Marshal(nil)
	check(err)
	_, err = c.WriteTo(b, &net.IPAddr{IP: peer})
	check(err)
	check(c.SetReadDeadline(time.Now().Add(patience)))
	for b := make([]byte, 1<<16); ; {
		n, from, err := c.ReadFrom(b)
		check(err)
		got, err := icmp.ParseMessage(protocol, b[:n])
		check(err)
		if got.Type != reply || from.String() != peer.String() {
			continue
		}
		if e, ok := got.Body.(*icmp.Echo); !ok || e.ID != size || !bytes.Equal(e.Data, data) {
			log.Fatalf("the answer to a ping of %d bytes is another one", size)
		}
		fmt.Printf("%v: ping of %d bytes\n", peer, size)
		return
	}
}

func datagram(peer net.IP, size int) {
	c, err := net.Dial("udp", net.JoinHostPort(peer.String(), "7"))
	check(err)
	defer c.Close()
	data := content(7, size)
	_, err = c.Write(data)
	check(err)
	check(c.SetReadDeadline(time.Now().Add(patience)))
	b := make([]byte, 1<<16)
	n, err := c.Read(b)
	check(err)
	if !bytes.Equal(b[:n], data) {
		log.Fatalf("a datagram of %d bytes comes back as one of %d", size, n)
	}
	fmt.Printf("%v: datagram of %d bytes\n", peer, size)
}

func stream(peer net.IP) {
	c, err := net.Dial("tcp", net.JoinHostPort(peer.String(), "7"))
	check(err)
	defer c.Close()
	data := content(42, transfer)
	go func() {
		_, err := c.Write(data)
		check(err)
		check(c.(*net.TCPConn).CloseWrite())
	}()
	got := sha256.New()
	n, err := io.Copy(got, c)
	check(err)
	if want := sha256.Sum256(data); n != transfer || !bytes.Equal(got.Sum(nil), want[:]) {
		log.Fatalf("%d bytes come back, and not those that were sent", n)
	}
	fmt.Printf("%v: %d bytes there and back\n", peer, n)
}

// content returns bytes that cannot be guessed from others, and so not be lost or doubled unnoticed. They
// begin with a mark, which nobody outside of the tunnel may see.
func content(seed uint64, size int) []byte {
	b := make([]byte, size)
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	r.Read(b)
	copy(b, "this is in the clear")
	return b
}
