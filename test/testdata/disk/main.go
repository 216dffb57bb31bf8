// Command disk uses disks: /dev/vda as a file of bytes (raw.go), and file systems on disks
// (files.go). Each case also works on Linux. A line that begins with "wrong" is an error. As the
// /init of a Linux guest it mounts the disk on the directory in $mount.
package main

import (
	"fmt"
	"os"

	"github.com/yolk-unikernel/yolk/tools/debian/boot"
)

var cases = map[string]func(args []string){
	"info": info, "pattern": pattern, "stress": stress, "readonly": readOnly, "wait": wait,
	"write": writeFiles, "read": readFiles, "tree": tree, "fill": fillUp, "show": show, "change": change, "limits": limits, "profile": profileReads,
}

func main() {
	boot.Start()
	boot.Mount(os.Getenv("mount"))
	cases[os.Args[1]](os.Args[2:])
	fmt.Println("done")
	boot.End(os.Getenv("mount"))
}

func wrong(format string, args ...any) { fmt.Printf("wrong: "+format+"\n", args...) }

func check(err error) {
	if err != nil {
		panic(err)
	}
}
