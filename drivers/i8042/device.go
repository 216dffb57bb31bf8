// Package i8042 drives the keyboard controller of the PC (IBM PS/2 Hardware
// Interface Technical Reference, "Keyboard and Auxiliary Device Controller") as
// far as hypervisors use it to ask a guest to end: Ctrl-Alt-Delete. QEMU's
// monitor sends it (send-key), and Firecracker's SendCtrlAltDel has no other way.
//
// Start reading at New, then Keys.Take (keys.go).
package i8042

// I/O ports.
const (
	portData    = 0x60
	portStatus  = 0x64 // reading
	portCommand = 0x64 // writing
)

// Bits of the status.
const (
	statusOutput = 1 << 0 // a byte for the driver is there
	statusInput  = 1 << 1 // the controller has not taken the last byte yet
	statusMouse  = 1 << 5 // the byte comes from the auxiliary device
	statusNone   = 0xff   // no controller: nothing answers
)

// Commands, and bits of the command byte.
const (
	commandRead  = 0x20
	commandWrite = 0x60

	byteInterrupt = 1 << 0 // IRQ 1 when a byte of the keyboard comes
	byteDisabled  = 1 << 4 // the keyboard's clock is held
	byteTranslate = 1 << 6 // scan codes of set 2 become those of set 1
)

// IRQ is the ISA interrupt of the keyboard.
const IRQ = 1

const (
	// polls bounds the wait for the controller, each one port access, about a
	// microsecond on a virtual machine. It answers at once there.
	polls = 1 << 12
	// burst bounds the bytes that are taken at one interrupt; a controller's
	// buffer holds 16.
	burst = 256
)

// ErrNone means that the machine has no keyboard controller, or one that does not
// answer.
const ErrNone = Error("i8042: no keyboard controller")

// Error is the type of this package's errors.
type Error string

func (e Error) Error() string { return string(e) }

// Ports are the I/O ports.
type Ports interface {
	In(port uint16) uint8
	Out(port uint16, v uint8)
}

// Controller is a keyboard controller at work.
type Controller struct {
	ports Ports
	keys  Keys
}

// New looks for a controller and makes its keyboard interrupt. The interrupt must
// be connected already.
func New(p Ports) (*Controller, error) {
	c := &Controller{ports: p}
	if p.In(portStatus) == statusNone {
		return nil, ErrNone
	}
	for range burst { // keys that nobody has taken
		if _, ok := c.next(); !ok {
			break
		}
	}
	mode, ok := c.mode()
	if !ok {
		return nil, ErrNone
	}
	c.keys.Translated = mode&byteTranslate != 0
	if want := mode&^byteDisabled | byteInterrupt; want != mode {
		p.Out(portCommand, commandWrite)
		c.send(want)
	}
	return c, nil
}

// mode reads the command byte.
func (c *Controller) mode() (uint8, bool) {
	c.ports.Out(portCommand, commandRead)
	for range polls {
		if b, ok := c.next(); ok {
			return b, true
		}
	}
	return 0, false
}

// send writes the byte that belongs to a command.
func (c *Controller) send(b uint8) {
	for range polls {
		if c.ports.In(portStatus)&statusInput == 0 {
			break
		}
	}
	c.ports.Out(portData, b)
}

// next takes a byte from the controller; false if there is none. What the mouse
// sends is 0.
func (c *Controller) next() (uint8, bool) {
	s := c.ports.In(portStatus)
	if s&statusOutput == 0 {
		return 0, false
	}
	b := c.ports.In(portData)
	if s&statusMouse != 0 {
		b = 0
	}
	return b, true
}

// HandleInterrupt takes what was typed and reports whether Ctrl-Alt-Delete was.
func (c *Controller) HandleInterrupt() (pressed bool) {
	for range burst {
		b, ok := c.next()
		if !ok {
			break
		}
		pressed = c.keys.Take(b) || pressed
	}
	return pressed
}
