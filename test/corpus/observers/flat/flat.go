// Package flat turns what a library tells of a machine into lines that can be compared between two
// machines: the name of each figure, and whether it is zero.
package flat

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// Kinds of values. A figure that differs between machines stays of the same kind.
const (
	zero     = "zero"
	positive = "positive"
	negative = "negative"
	empty    = "empty"
	text     = "text"
)

// Views are the lines so far: a kind for each name. Of the elements of a list, or of several
// interfaces, the one that has something wins.
type Views map[string]string

// number is the index of a CPU, an interface, a thread, an interrupt or a mount.
var number = regexp.MustCompile(`(\b(?:cpu|eth|Cpu|CPU\.?|Threads\.|Interrupts\.))[0-9]+\b`)

func (v Views) set(name, kind string) {
	name = number.ReplaceAllString(name, "${1}N")
	if old := v[name]; old == "" || old == zero || old == empty {
		v[name] = kind
	}
}

// Add takes a value and the error that came with it, as a library returned them.
func (v Views) Add(name string, value any, err error) {
	if err != nil {
		v.set(name, "error")
		return
	}
	b, err := json.Marshal(plain(reflect.ValueOf(value), 0))
	if err != nil {
		v.set(name, "unprintable: "+err.Error())
		return
	}
	var tree any
	if err := json.Unmarshal(b, &tree); err != nil {
		panic(err)
	}
	v.walk(name, tree)
}

func (v Views) walk(name string, tree any) {
	switch tree := tree.(type) {
	case map[string]any:
		if len(tree) == 0 {
			v.set(name, empty)
		}
		for key, sub := range tree {
			v.walk(name+"."+key, sub)
		}
	case []any:
		if len(tree) == 0 {
			v.set(name+"[]", empty)
		}
		for _, sub := range tree {
			v.walk(name+"[]", sub)
		}
	default:
		v.set(name, kindOf(tree))
	}
}

func kindOf(leaf any) string {
	switch leaf := leaf.(type) {
	case nil:
		return empty
	case bool:
		if !leaf {
			return zero
		}
	case float64:
		switch {
		case leaf == 0:
			return zero
		case leaf < 0:
			return negative
		}
	case string:
		if leaf == "" {
			return empty
		}
		return text
	}
	return positive
}

// plain copies the exported fields of a value into maps and slices, under the names that they have
// in Go: JSON tags differ between versions, and leave zeros out.
func plain(v reflect.Value, depth int) any {
	if !v.IsValid() || depth > 8 {
		return nil
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return nil
		}
		return plain(v.Elem(), depth+1)
	case reflect.Struct:
		m := map[string]any{}
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() {
				m[f.Name] = plain(v.Field(i), depth+1)
			}
		}
		return m
	case reflect.Map:
		m := map[string]any{}
		for _, key := range v.MapKeys() {
			m[fmt.Sprint(key)] = plain(v.MapIndex(key), depth+1)
		}
		return m
	case reflect.Slice, reflect.Array:
		l := []any{}
		for i := range v.Len() {
			l = append(l, plain(v.Index(i), depth+1))
		}
		return l
	case reflect.Func, reflect.Chan:
		return nil
	}
	return v.Interface()
}

// Methods calls each method of an object that takes nothing and returns a value, or a value and an
// error, but for those named.
func (v Views) Methods(name string, object any, but ...string) {
	o := reflect.ValueOf(object)
	for i := range o.NumMethod() {
		m, f := o.Type().Method(i), o.Method(i)
		if f.Type().NumIn() != 0 || f.Type().NumOut() < 1 || f.Type().NumOut() > 2 || slices.Contains(but, m.Name) {
			continue
		}
		out := f.Call(nil)
		var err error
		if last := len(out) - 1; last > 0 {
			err, _ = out[last].Interface().(error)
		}
		v.Add(name+"."+m.Name, out[0].Interface(), err)
	}
}

// Print writes the lines in their order, and a last one that says that all are there.
func (v Views) Print() {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(v)) {
		fmt.Fprintf(&b, "view %s %s\n", name, v[name])
	}
	os.Stdout.WriteString(b.String() + "done\n")
}
