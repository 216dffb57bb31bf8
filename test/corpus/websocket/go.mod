module corpus.test/websocket

go 1.26.3

require github.com/gorilla/websocket v1.5.3
