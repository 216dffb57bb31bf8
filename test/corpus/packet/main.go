// Command packet uses packet sockets and filters through the libraries that most programs use: it asks for
// the gateway's address by ARP, captures what the card sends and receives, filters what a UDP socket
// receives, and gets a lease of its own by DHCP.
package main

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"net"
	"net/netip"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
	"github.com/mdlayher/arp"
	"github.com/mdlayher/packet"
	"golang.org/x/net/bpf"
	"golang.org/x/net/ipv4"
)

const patience = 20 * time.Second

var gateway = netip.MustParseAddr("10.0.2.2")

func main() {
	ifi, err := net.InterfaceByName("eth0")
	check(err)
	resolve(ifi)
	capture(ifi)
	captureByFile(ifi)
	filterUDP()
	lease()
}

func check(err error) {
	if err != nil {
		log.Panic(err)
	}
}

// resolve asks for the gateway's address.
func resolve(ifi *net.Interface) {
	c, err := arp.Dial(ifi)
	check(err)
	defer c.Close()
	check(c.SetDeadline(time.Now().Add(patience)))
	mac, err := c.Resolve(gateway)
	check(err)
	fmt.Println("arp:", gateway, "is at", mac)
}

// broadcast is a frame for everybody, of the type for local experiments.
func broadcast(ifi *net.Interface, text string) []byte {
	b := append(bytes.Repeat([]byte{0xff}, 6), ifi.HardwareAddr...)
	return append(append(b, 0x88, 0xb5), text...)
}

// capture sees what another socket sends, as far as its filter lets it pass, and is told how much.
func capture(ifi *net.Interface) {
	const all = 3 // ETH_P_ALL
	filter, err := bpf.Assemble([]bpf.Instruction{
		bpf.LoadExtension{Num: bpf.ExtProto},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0x88b5, SkipFalse: 1},
		bpf.RetConstant{Val: 14 + 5},
		bpf.RetConstant{Val: 0},
	})
	check(err)
	c, err := packet.Listen(ifi, packet.Raw, all, &packet.Config{Filter: filter})
	check(err)
	defer c.Close()
	check(c.SetPromiscuous(true))
	check(c.SetDeadline(time.Now().Add(patience)))
	sender, err := packet.Listen(ifi, packet.Datagram, 0x88b5, nil)
	check(err)
	defer sender.Close()
	_, err = sender.WriteTo([]byte("hello, cable"), &packet.Addr{HardwareAddr: net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}})
	check(err)
	b := make([]byte, 1500)
	n, from, err := c.ReadFrom(b)
	check(err)
	stats, err := c.Stats()
	check(err)
	fmt.Printf("packet: %q from %v, %d frames, %d lost\n", b[14:n], from.(*packet.Addr).HardwareAddr, stats.Packets, stats.Drops)
}

// captureByFile writes what a capture sees as a capture file's packets.
func captureByFile(ifi *net.Interface) {
	h, err := pcapgo.NewEthernetHandle(ifi.Name)
	check(err)
	defer h.Close()
	check(h.SetCaptureLength(256))
	sender, err := packet.Listen(ifi, packet.Raw, 0x88b5, nil)
	check(err)
	defer sender.Close()
	_, err = sender.WriteTo(broadcast(ifi, "a frame"), &packet.Addr{HardwareAddr: bytes.Repeat([]byte{0xff}, 6)})
	check(err)
	for {
		data, info, err := h.ReadPacketData()
		check(err)
		p := gopacket.NewPacket(data, layers.LayerTypeEthernet, gopacket.Default)
		if eth, ok := p.LinkLayer().(*layers.Ethernet); ok && eth.EthernetType == 0x88b5 {
			fmt.Printf("pcapgo: %q, %d bytes, %v ago\n", eth.Payload, info.Length, time.Since(info.Timestamp) < time.Minute)
			return
		}
	}
}

// filterUDP receives only datagrams that begin with the letter y.
func filterUDP() {
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	check(err)
	defer c.Close()
	filter, err := bpf.Assemble([]bpf.Instruction{
		bpf.LoadAbsolute{Off: 8, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 'y', SkipFalse: 1},
		bpf.RetConstant{Val: 4096},
		bpf.RetConstant{Val: 0},
	})
	check(err)
	check(ipv4.NewPacketConn(c).SetBPF(filter))
	check(c.SetDeadline(time.Now().Add(patience)))
	for _, text := range []string{"no", "yes"} {
		_, err := c.WriteTo([]byte(text), c.LocalAddr())
		check(err)
	}
	b := make([]byte, 100)
	n, _, err := c.ReadFrom(b)
	check(err)
	fmt.Printf("bpf: %s\n", b[:n])
}

// lease asks QEMU's server for an address.
func lease() {
	c, err := nclient4.New("eth0")
	check(err)
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	l, err := c.Request(ctx)
	check(err)
	fmt.Println("dhcp:", l.ACK.YourIPAddr, "from", l.ACK.ServerIdentifier())
}
