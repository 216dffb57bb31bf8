package inside

import "strings"

// Stacks returns the stacks of the program's own goroutines, of the guest's answer to stacks: without those that the kernel and
// the drivers have started, the one that answers among them.
func Stacks(answer string) string {
	var kept []string
	for stack := range strings.SplitSeq(strings.TrimRight(answer, "\n"), "\n\n") {
		if !strings.HasPrefix(startedBy(stack), "runtime/yolk/") {
			kept = append(kept, stack)
		}
	}
	return strings.Join(kept, "\n\n") + "\n"
}

// startedBy returns the function that has started a goroutine: "created by F in goroutine N" is near the end of its stack.
func startedBy(stack string) string {
	_, rest, _ := strings.Cut(stack, "\ncreated by ")
	name, _, _ := strings.Cut(rest, "\n")
	name, _, _ = strings.Cut(name, " in goroutine ")
	return name
}
