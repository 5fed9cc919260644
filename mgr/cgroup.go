package mgr

import (
	"math"
	"os"
	"strconv"
	"strings"
)

// inGroups calls visit with the directory of each cgroup of this process in which controller may
// have a limit, and with those above it. root is where the system's files are.
func inGroups(root, controller string, visit func(dir string, v2 bool)) {
	groups, _ := os.ReadFile(root + "/proc/self/cgroup")
	for line := range strings.Lines(string(groups)) {
		// proc_pid_cgroup(5): number, controllers and path. The number 0 without controllers is
		// version 2.
		number, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		controllers, group, ok := strings.Cut(rest, ":")
		if !ok {
			continue
		}
		dir, v2 := root+"/sys/fs/cgroup", true
		switch {
		case strings.Contains(","+controllers+",", ","+controller+","):
			dir, v2 = dir+"/"+controller, false
		case number != "0" || controllers != "":
			continue
		}
		// Inside a container the path may be the host's, which is not there: the top is looked at
		// in any case.
		for group = strings.TrimSuffix(group, "/"); ; group = group[:max(strings.LastIndexByte(group, '/'), 0)] {
			visit(dir+group, v2)
			if group == "" {
				break
			}
		}
	}
}

// quota returns how many processors' worth of time this process may use: the least limit of its
// cgroup and those above it, rounded up, and math.MaxInt without one. Go's GOMAXPROCS follows it,
// too, but is 2 at the least.
func quota(root string) int {
	least := math.Inf(1)
	inGroups(root, "cpu", func(dir string, v2 bool) {
		var time, period string // in µs
		if v2 {
			b, _ := os.ReadFile(dir + "/cpu.max") // "max 100000" is none
			time, period, _ = strings.Cut(strings.TrimSpace(string(b)), " ")
		} else {
			b, _ := os.ReadFile(dir + "/cpu.cfs_quota_us") // -1 is none
			time = strings.TrimSpace(string(b))
			b, _ = os.ReadFile(dir + "/cpu.cfs_period_us")
			period = strings.TrimSpace(string(b))
		}
		t, err := strconv.ParseUint(time, 10, 53)
		p, err2 := strconv.ParseUint(period, 10, 53)
		if err == nil && err2 == nil && t > 0 && p > 0 {
			least = min(least, float64(t)/float64(p))
		}
	})
	if least > math.MaxInt32 {
		return math.MaxInt
	}
	return int(math.Ceil(least))
}
