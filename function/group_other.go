//go:build !unix

package function

import (
	"errors"
	"syscall"
)

// hosting says that functions cannot be run here: what a process started could
// not be ended with it.
const hosting = false

func signalGroup(int, syscall.Signal) error { return errors.ErrUnsupported }

func readNow(uintptr, []byte) (int, error) { return 0, errors.ErrUnsupported }

func attributes() *syscall.SysProcAttr { return nil }

func (p *process) wait() error { return p.cmd.Wait() }
