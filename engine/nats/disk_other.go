//go:build !linux

package nats

// A disk is the open filesystem of the data directory; here there is no syncfs.
type disk struct{}

func openDisk(string) (*disk, bool, error) { return nil, false, nil }

func (d *disk) sync() error { return nil }

func (d *disk) close() {}

// bootID is not known here: every unclean stop counts as a crash.
func bootID() string { return "" }

// identity is not known here.
func identity(string) string { return "" }
