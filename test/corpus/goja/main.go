// Command goja evaluates JavaScript that arrives over HTTP.
package main

import (
	"fmt"
	"log"
	"net/http"

	"github.com/dop251/goja"
)

func main() {
	http.HandleFunc("/eval", func(w http.ResponseWriter, r *http.Request) {
		v, err := goja.New().RunString(r.FormValue("js"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		fmt.Fprint(w, v)
	})
	log.Fatal(http.ListenAndServe(":8080", nil))
}
