// Command wazero compiles a WebAssembly function to machine code and calls it:
// memory that is written and then executed.
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/tetratelabs/wazero"
)

// add is (module (func (export "add") (param i32 i32) (result i32)
// local.get 0 local.get 1 i32.add)), WebAssembly core specification §5.
var add = []byte("\x00asm\x01\x00\x00\x00" +
	"\x01\x07\x01\x60\x02\x7f\x7f\x01\x7f" + // type
	"\x03\x02\x01\x00" + // function
	"\x07\x07\x01\x03add\x00\x00" + // export
	"\x0a\x09\x01\x07\x00\x20\x00\x20\x01\x6a\x0b") // code

func main() {
	ctx := context.Background()
	config := wazero.NewRuntimeConfigCompiler()
	if len(os.Args) > 1 && os.Args[1] == "interpreter" {
		config = wazero.NewRuntimeConfigInterpreter()
	}
	module, err := wazero.NewRuntimeWithConfig(ctx, config).Instantiate(ctx, add)
	if err != nil {
		log.Fatal(err)
	}
	sum, err := module.ExportedFunction("add").Call(ctx, 40, 2)
	fmt.Println("sum", sum, err)
}
