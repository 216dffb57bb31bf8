// Package log replaces gVisor's pkg/log. It writes nothing: the console belongs to the program,
// and netstack reports the events that a person must know.
package log

import "time"

// Level is the severity of a message.
type Level uint32

// Emitter is the destination of messages in gVisor's package; here it gets none.
type Emitter interface {
	Emit(depth int, level Level, timestamp time.Time, format string, v ...any)
}

// Logger is the interface that gVisor's packages use.
type Logger interface {
	Debugf(format string, v ...any)
	Infof(format string, v ...any)
	Warningf(format string, v ...any)
	IsLogging(level Level) bool
}

type silent struct{}

func (silent) Debugf(string, ...any)   {}
func (silent) Infof(string, ...any)    {}
func (silent) Warningf(string, ...any) {}
func (silent) IsLogging(Level) bool    { return false }

// BasicRateLimitedLogger returns a Logger.
func BasicRateLimitedLogger(time.Duration) Logger { return silent{} }

// SetTarget sets the destination of messages in gVisor's package; here it does nothing.
func SetTarget(Emitter) {}

// Debugf drops a message.
func Debugf(string, ...any) {}

// Infof drops a message.
func Infof(string, ...any) {}

// Warningf drops a message.
func Warningf(string, ...any) {}
