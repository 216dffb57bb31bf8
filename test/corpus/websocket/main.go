// Command websocket echoes WebSocket messages: connections that leave HTTP.
package main

import (
	"log"
	"net/http"

	"github.com/gorilla/websocket"
)

func main() {
	var upgrader websocket.Upgrader
	http.HandleFunc("/ws", func(w http.ResponseWriter, r *http.Request) {
		c, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer c.Close()
		for {
			kind, msg, err := c.ReadMessage()
			if err != nil || c.WriteMessage(kind, msg) != nil {
				return
			}
		}
	})
	log.Fatal(http.ListenAndServe(":8080", nil))
}
