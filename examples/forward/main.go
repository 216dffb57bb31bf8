// Command forward passes every frame between the machine's first two network cards, like a cable.
// Frames are not copied: one card sends the memory that the other has received into. Package net is
// not imported, so there is no TCP/IP stack in the image.
//
//	yolk run -net tap:tap0 -net tap:tap1 ./examples/forward
package main

import (
	"fmt"
	"log"

	machine "github.com/yolk-unikernel/yolk/runtime"
)

func main() {
	list := machine.NICs()
	if len(list) < 2 {
		log.Fatal("two network cards are needed: run with -net twice")
	}
	var cards []*machine.NIC
	for _, i := range list[:2] {
		n, err := machine.OpenNIC(i.Name, machine.NICOptions{})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s at %s is %x, MTU %d\n", i.Name, i.Location, i.MAC, i.MTU)
		cards = append(cards, n)
	}
	fmt.Println("forwarding")
	go forward(cards[0], cards[1])
	forward(cards[1], cards[0])
}

// forward sends to out the frames that in receives, until a card fails.
func forward(in, out *machine.NIC) {
	frames := make([]machine.Frame, 64)
	for {
		n, err := in.Receive(frames)
		if err != nil {
			log.Fatal(err)
		}
		for left := frames[:n]; len(left) > 0; {
			sent, err := out.Send(left)
			if left = left[sent:]; err == nil {
				continue
			}
			if err != machine.ErrFrame { // ErrFrame: too long for the other card
				log.Fatal(err)
			}
			left[0].Release()
			left = left[1:]
		}
	}
}
