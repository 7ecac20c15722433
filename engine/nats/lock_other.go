//go:build !unix

package nats

import (
	"fmt"
	"os"
	"path/filepath"
)

// lockDir takes the data directory for this process by a file that only one
// can make; after a crash it has to be removed by hand.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("data directory %s is in use by another process, or was not closed (remove the file \"lock\" then): %w", dir, err)
	}
	return f, nil
}

// space is not known here; it says that there is plenty.
func space(string) (total, free int64, err error) { return 1 << 50, 1 << 50, nil }
