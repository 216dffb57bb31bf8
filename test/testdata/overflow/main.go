// Command overflow recurses without end.
package main

import "fmt"

func down(n int, deep [64]int) int {
	deep[n%64] = n
	return down(n+1, deep) + deep[0]
}

func main() { fmt.Println(down(0, [64]int{})) }
