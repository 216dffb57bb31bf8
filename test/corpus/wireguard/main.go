// Command wireguard is one end of a tunnel. Like the program of golang.zx2c4.com/wireguard it makes a
// TUN interface, and a device that is told of its peer over the socket in /var/run/wireguard; then, as
// ip(8) would, it gives the interface its addresses. -serve answers the other end, which without it
// sends what the test asks for.
package main

import (
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/ipc"
	"golang.zx2c4.com/wireguard/tun"
)

const name = "wgyolk0"

var (
	private   = flag.String("private", "", "own key, in hexadecimal digits")
	public    = flag.String("public", "", "the peer's key")
	endpoint  = flag.String("endpoint", "", "the peer's address and port, if it is to be called")
	addresses = flag.String("addresses", "", "own addresses in the tunnel, with commas")
	peers     = flag.String("peers", "", "the peer's addresses in the tunnel, with commas")
	serve     = flag.Bool("serve", false, "answer the peer")
)

func main() {
	flag.Parse()
	log.SetFlags(0)
	d := start()
	configure()
	route()
	show()
	if *serve {
		go answer()
		fmt.Println("serving")
		select {}
	}
	for _, peer := range strings.Split(*peers, ",") {
		talk(net.ParseIP(peer))
	}
	d.Close()
	<-d.Wait()
	if _, err := net.InterfaceByName(name); err == nil {
		log.Fatal("the interface outlives its device")
	}
	fmt.Println("the interface is gone")
}

// start is what wireguard-go's main does.
func start() *device.Device {
	t, err := tun.CreateTUN(name, device.DefaultMTU)
	check(err)
	d := device.NewDevice(t, conn.NewDefaultBind(), device.NewLogger(device.LogLevelError, name+": "))
	file, err := ipc.UAPIOpen(name)
	check(err)
	l, err := ipc.UAPIListen(name, file)
	check(err)
	go func() {
		for {
			c, err := l.Accept()
			check(err)
			go d.IpcHandle(c)
		}
	}()
	return d
}

// configure is what wg(8) does.
func configure() {
	var b strings.Builder
	fmt.Fprintf(&b, "set=1\nprivate_key=%s\nlisten_port=51820\npublic_key=%s\n", *private, *public)
	if *endpoint != "" {
		fmt.Fprintf(&b, "endpoint=%s\n", *endpoint)
	}
	for _, p := range strings.Split(*peers, ",") {
		fmt.Fprintf(&b, "allowed_ip=%s/%d\n", p, bits(p))
	}
	ask(b.String())
	if got := ask("get=1\n"); !strings.Contains(got, "listen_port=51820\n") {
		log.Fatalf("the device says %q", got)
	}
	fmt.Println("the socket answers errno=0")
}

func bits(addr string) int {
	if strings.Contains(addr, ":") {
		return 128
	}
	return 32
}

// ask sends a request over the device's socket.
func ask(request string) string {
	c, err := net.Dial("unix", "/var/run/wireguard/"+name+".sock")
	check(err)
	defer c.Close()
	_, err = c.Write([]byte(request + "\n"))
	check(err)
	check(c.(*net.UnixConn).CloseWrite())
	b, err := io.ReadAll(c)
	check(err)
	if !strings.Contains(string(b), "errno=0\n") {
		log.Fatalf("%q is answered %q", request, b)
	}
	return string(b)
}

// route is what ip(8) does: addresses, the interface up, routes to the peer.
func route() {
	link, err := netlink.LinkByName(name)
	check(err)
	for _, a := range strings.Split(*addresses, ",") {
		addr, err := netlink.ParseAddr(a + fmt.Sprintf("/%d", bits(a)))
		check(err)
		check(netlink.AddrAdd(link, addr))
	}
	check(netlink.LinkSetUp(link))
	for _, p := range strings.Split(*peers, ",") {
		dst, err := netlink.ParseIPNet(p + fmt.Sprintf("/%d", bits(p)))
		check(err)
		check(netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: dst}))
	}
}

// show prints what the system says of the interface.
func show() {
	link, err := netlink.LinkByName(name)
	check(err)
	a := link.Attrs()
	fmt.Printf("%s is a %s of MTU %d, %v\n", a.Name, link.Type(), a.MTU, a.Flags)
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		routes, err := netlink.RouteList(link, family)
		check(err)
		for _, r := range routes {
			if !r.Dst.IP.IsMulticast() {
				fmt.Println("route to", r.Dst)
			}
		}
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
