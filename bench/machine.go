package bench

import (
	"errors"
	"fmt"
	"runtime"
)

// ErrSystem is the answer of everything in this package where there is no epoll.
var ErrSystem = errors.New("the load tool needs Linux")

// A Machine is where a figure comes from.
type Machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Memory int64  `json:"memory_bytes"`
	Kernel string `json:"kernel"`
	Go     string `json:"go"`
}

// ThisMachine describes the machine.
func ThisMachine() Machine {
	m := Machine{CPU: "unknown processor", Cores: runtime.NumCPU(), Kernel: "unknown", Go: runtime.Version()}
	m.look()
	return m
}

// String is the machine in one line.
func (m Machine) String() string {
	return fmt.Sprintf("%d × %s, %d MB, %s %s, %s", m.Cores, m.CPU, m.Memory>>20, runtime.GOOS, m.Kernel, m.Go)
}
