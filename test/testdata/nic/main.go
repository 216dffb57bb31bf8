// Command nic takes network cards from package net's stack: first eth1, over which it sends a frame
// and waits for it to come back, while the stack connects to the address in its argument over eth0;
// then eth0, so that the stack has no card left.
package main

import (
	"fmt"
	"net"
	"os"
	"time"

	machine "github.com/yolk-unikernel/yolk/runtime"
)

func main() {
	show("at first")
	eth1 := open("eth1")
	show("without eth1")
	exchange(eth1)
	dial("over eth0")
	open("eth0")
	show("without eth0")
	dial("without a card")
	if _, err := machine.OpenNIC("eth0", machine.NICOptions{}); err != nil {
		fmt.Println(err)
	}
	if err := eth1.Close(); err == nil {
		eth1 = open("eth1")
		exchange(eth1)
	}
}

func open(name string) *machine.NIC {
	n, err := machine.OpenNIC(name, machine.NICOptions{})
	if err != nil {
		panic(err)
	}
	return n
}

// show prints the interfaces of the stack, and the cards.
func show(when string) {
	list, err := net.Interfaces()
	if err != nil {
		panic(err)
	}
	fmt.Print(when, ":")
	for _, i := range list {
		fmt.Print(" ", i.Name)
	}
	for _, c := range machine.NICs() {
		fmt.Printf(", %s %q", c.Name, c.User)
	}
	fmt.Println()
}

func exchange(n *machine.NIC) {
	out := append(make([]byte, 14), "a frame of the program's own, of at least sixty bytes as Ethernet has it"...)
	if _, err := n.Send([]machine.Frame{{Data: out}}); err != nil {
		panic(err)
	}
	n.SetReceiveDeadline(time.Now().Add(30 * time.Second))
	in := make([]machine.Frame, 1)
	if _, err := n.Receive(in); err != nil {
		panic(err)
	}
	fmt.Printf("%s: came back: %v\n", n.Info().Name, string(in[0].Data) == string(out))
}

func dial(when string) {
	c, err := net.DialTimeout("tcp", os.Args[1], 10*time.Second)
	if err != nil {
		fmt.Printf("%s: %v\n", when, err)
		return
	}
	c.Close()
	fmt.Printf("%s: connected\n", when)
}
