// Package log takes the place of gVisor's pkg/log: the console belongs to the
// program, so nothing is written. What a person must know, netstack reports.
package log

import "time"

// Level is the severity of a message.
type Level uint32

// Emitter is where messages would go.
type Emitter interface {
	Emit(depth int, level Level, timestamp time.Time, format string, v ...any)
}

// Logger is what gVisor's packages hold.
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

// SetTarget would say where messages go.
func SetTarget(Emitter) {}

// Debugf drops a message.
func Debugf(string, ...any) {}

// Infof drops a message.
func Infof(string, ...any) {}

// Warningf drops a message.
func Warningf(string, ...any) {}
