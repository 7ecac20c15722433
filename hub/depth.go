package hub

// MaxDepth is how deep the arrays and objects of a message's JSON data may nest.
// Deeper data is of no use to anybody, and breaks parsers of the clients that
// hear it.
const MaxDepth = 128

// depth is how deep valid JSON nests.
func depth(data []byte) (deepest int) {
	level := 0
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '[', '{':
			level++
			deepest = max(deepest, level)
		case ']', '}':
			level--
		case '"':
			for i++; i < len(data) && data[i] != '"'; i++ {
				if data[i] == '\\' {
					i++
				}
			}
		}
	}
	return deepest
}
