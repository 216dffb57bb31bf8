// Package scan has a module to be missed in the file that is for the TamaGo framework.
package scan

import _ "example.test/dep"
