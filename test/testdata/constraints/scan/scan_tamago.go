package scan

import _ "example.test/missing"
