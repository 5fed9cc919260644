package mgr

import (
	"math"
	"os"
	"strconv"
	"strings"
	"sync"
)

// This file finds the default of Options.Memory. See ration.go for what happens when it runs out.

// leastMemory is the least default of Options.Memory.
const leastMemory = 4 << 20

// memoryLimit returns the limit that Options.Memory, of this value, stands for; 0 is none.
func memoryLimit(option int) int {
	switch {
	case option < 0:
		return 0
	case option > 0:
		return option
	}
	return defaultMemory()
}

var defaultMemory = sync.OnceValue(func() int { return quarter(machineMemory("")) })

// quarter returns the default of Options.Memory on a machine with n bytes; 0, for none, when n is
// not known.
func quarter(n uint64) int {
	if n == 0 {
		return 0
	}
	return int(min(max(n/4, leastMemory), math.MaxInt))
}

// machineMemory returns how much memory this process may have at most: what the machine has, or the
// least limit of its cgroup and those above it. It returns 0 when the system does not tell. root is
// where the system's files are.
func machineMemory(root string) uint64 {
	least := uint64(math.MaxUint64)
	note := func(n uint64, ok bool) {
		if ok && n > 0 {
			least = min(least, n)
		}
	}
	note(memTotal(root + "/proc/meminfo"))
	inGroups(root, "memory", func(dir string, v2 bool) {
		if v2 {
			note(fileNumber(dir + "/memory.max"))
		} else {
			note(fileNumber(dir + "/memory.limit_in_bytes"))
		}
	})
	if least == math.MaxUint64 {
		return 0
	}
	return least
}

// memTotal returns the memory that /proc/meminfo tells of, in bytes.
func memTotal(name string) (uint64, bool) {
	b, _ := os.ReadFile(name)
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "MemTotal:"); ok {
			n, err := strconv.ParseUint(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 53)
			return n << 10, err == nil
		}
	}
	return 0, false
}

// fileNumber returns the number in a file. "max" is none.
func fileNumber(name string) (uint64, bool) {
	b, err := os.ReadFile(name)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
	return n, err == nil
}
