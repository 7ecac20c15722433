package entry

import "github.com/fxamacker/cbor/v2"

// DataOf is the value that a record holds.
func DataOf(record []byte) string {
	var k kept
	if err := cbor.Unmarshal(record, &k); err != nil {
		return err.Error()
	}
	if k.Data == nil {
		return "null"
	}
	return string(k.Data)
}
