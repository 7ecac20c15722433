package nats

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// A disk is the open filesystem of the data directory. Syncfs reports a write
// error once per descriptor, so that it is opened at the start and kept.
type disk struct{ f *os.File }

// openDisk opens the filesystem; ok is false if syncfs is not trusted on it.
func openDisk(dir string) (d *disk, ok bool, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return nil, false, fmt.Errorf("data directory: %w", err)
	}
	// The magic number is that of ext2, ext3 and ext4 alike.
	if int64(s.Type) != unix.EXT4_SUPER_MAGIC {
		return nil, false, nil
	}
	f, err := os.Open(dir)
	if err != nil {
		return nil, false, fmt.Errorf("data directory: %w", err)
	}
	return &disk{f}, true, nil
}

// sync returns when everything that was written to the filesystem is on disk.
func (d *disk) sync() error { return unix.Syncfs(int(d.f.Fd())) }

func (d *disk) close() { _ = d.f.Close() }

// bootID names the run of the operating system.
func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// identity names the directory itself: a copy has another one.
func identity(dir string) string {
	var s unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, dir, 0, unix.STATX_INO|unix.STATX_BTIME, &s); err != nil {
		return ""
	}
	return fmt.Sprintf("%d/%d.%09d", s.Ino, s.Btime.Sec, s.Btime.Nsec)
}
