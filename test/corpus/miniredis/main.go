// Command miniredis serves the Redis protocol from memory.
package main

import (
	"log"

	"github.com/alicebob/miniredis/v2"
)

func main() {
	if err := miniredis.NewMiniRedis().StartAddr(":6379"); err != nil {
		log.Fatal(err)
	}
	select {}
}
