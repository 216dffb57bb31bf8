package net

import "strconv"

// cardName returns the name of the machine's network card i, as Linux had them
// before names told where a card is.
func cardName(i int) string { return "eth" + strconv.Itoa(i) }
