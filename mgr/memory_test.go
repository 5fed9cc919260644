package mgr

import "testing"

func TestMachineMemory(t *testing.T) {
	const meminfo = "MemTotal:        2048000 kB\nMemFree:          100 kB\n"
	for _, tc := range []struct {
		name  string
		files map[string]string
		want  uint64
	}{
		{"nothing is told", nil, 0},
		{"no cgroup", map[string]string{"proc/meminfo": meminfo}, 2048000 << 10},
		{"v2, own group", map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "0::/a/b\n",
			"sys/fs/cgroup/a/b/memory.max": "67108864\n", "sys/fs/cgroup/a/memory.max": "max\n"}, 64 << 20},
		{"v2, the group above has less", map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "0::/a/b\n",
			"sys/fs/cgroup/a/b/memory.max": "max\n", "sys/fs/cgroup/a/memory.max": "33554432\n"}, 32 << 20},
		{"v2, the top of a container", map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "0::/\n",
			"sys/fs/cgroup/memory.max": "67108864\n"}, 64 << 20},
		{"v1, beside others", map[string]string{"proc/meminfo": meminfo,
			"proc/self/cgroup": "5:cpu,cpuacct:/x\n4:memory:/x\n1:name=systemd:/x\n0::/x\n",
			"sys/fs/cgroup/memory/x/memory.limit_in_bytes":       "16777216\n",
			"sys/fs/cgroup/cpu,cpuacct/memory.limit_in_bytes":    "1\n",
			"sys/fs/cgroup/memory/x/child/memory.limit_in_bytes": "2\n"}, 16 << 20},
		{"v1, the host's path in a container", map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "4:memory:/docker/0123\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "16777216\n"}, 16 << 20},
		{"v1, none", map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "4:memory:/\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}, 2048000 << 10},
		{"nonsense", map[string]string{"proc/meminfo": "MemTotal:\nMemTotal: x kB\n", "proc/self/cgroup": "\n::\n0::\nx",
			"sys/fs/cgroup/memory.max": "-1\n"}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			root := systemFiles(t, tc.files)
			if got := machineMemory(root); got != tc.want {
				t.Errorf("%d bytes, want %d", got, tc.want)
			}
		})
	}
}

func TestMemoryLimit(t *testing.T) {
	for _, tc := range []struct {
		machine uint64
		want    int
	}{{0, 0}, {1 << 20, 4 << 20}, {16 << 20, 4 << 20}, {64 << 20, 16 << 20}, {1 << 30, 256 << 20}} {
		if got := quarter(tc.machine); got != tc.want {
			t.Errorf("of %d bytes %d, want %d", tc.machine, got, tc.want)
		}
	}
	if n := memoryLimit(-1); n != 0 {
		t.Errorf("-1 is %d, want no limit", n)
	}
	if n := memoryLimit(100); n != 100 {
		t.Errorf("100 is %d", n)
	}
}
