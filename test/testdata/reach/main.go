// Command reach says which of the addresses among its arguments answer: NETWORK:HOST:PORT.
package main

import (
	"fmt"
	"net"
	"os"
	"strings"
	"time"
)

func main() {
	for _, arg := range os.Args[1:] {
		network, addr, _ := strings.Cut(arg, ":")
		fmt.Println(arg, reach(network, addr))
	}
}

func reach(network, addr string) string {
	c, err := net.DialTimeout(network, addr, 10*time.Second)
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(3 * time.Second))
	if _, err := c.Write([]byte("ping")); err != nil {
		return err.Error()
	}
	b := make([]byte, 16)
	n, err := c.Read(b)
	if err != nil {
		return err.Error()
	}
	return "answers " + string(b[:n])
}
