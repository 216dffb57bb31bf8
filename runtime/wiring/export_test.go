package wiring

// What the tests outside of the package (which use wiringtest) reach inside.

// ConsoleInput decodes what comes in at the console.
type ConsoleInput = consoleInput

// NewConsoleInput returns a decoder.
func NewConsoleInput(escaped bool) *ConsoleInput { return &consoleInput{escaped: escaped} }

// Take gives it bytes that have come.
func (c *consoleInput) Take(p []byte) { c.take(p) }

// LimitHeap is what start does.
var LimitHeap = limitHeap

// ZoneOf is what provideZone does first.
var ZoneOf = zoneOf
