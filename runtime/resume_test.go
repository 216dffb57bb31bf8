package runtime_test

import (
	"crypto/rand"
	"crypto/tls"

	"github.com/yolk-unikernel/yolk/runtime"
)

// A server whose snapshot may be resumed several times does not share the keys of its session
// tickets.
func ExampleOnResume() {
	config := &tls.Config{}
	renew := func() {
		var key [32]byte
		rand.Read(key[:])
		config.SetSessionTicketKeys([][32]byte{key})
	}
	renew()
	runtime.OnResume(renew)
}
