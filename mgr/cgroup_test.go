package mgr

import (
	"math"
	"os"
	"path/filepath"
	"testing"
)

// systemFiles writes files as the system has them, below the directory that it returns.
func systemFiles(t *testing.T, files map[string]string) (root string) {
	t.Helper()
	root = t.TempDir()
	for name, text := range files {
		name = filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestQuotaOfProcessors(t *testing.T) {
	const none = math.MaxInt
	for _, tc := range []struct {
		name  string
		files map[string]string
		want  int
	}{
		{"nothing is told", nil, none},
		{"v2, half of one", map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "50000 100000\n"}, 1},
		{"v2, one", map[string]string{"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/cpu.max": "100000 100000\n"}, 1},
		{"v2, two and a half", map[string]string{"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/cpu.max": "250000 100000\n"}, 3},
		{"v2, none", map[string]string{"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/cpu.max": "max 100000\n"}, none},
		{"v2, the group above has less", map[string]string{"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max": "max 100000\n",
			"sys/fs/cgroup/a/cpu.max": "150000 50000\n"}, 3},
		{"v2, the host's path in a container", map[string]string{"proc/self/cgroup": "0::/docker/0123\n", "sys/fs/cgroup/cpu.max": "10000 100000\n"}, 1},
		{"v1", map[string]string{"proc/self/cgroup": "4:cpu,cpuacct:/x\n3:cpuset:/y\n", "sys/fs/cgroup/cpu/x/cpu.cfs_quota_us": "400000\n",
			"sys/fs/cgroup/cpu/x/cpu.cfs_period_us": "100000\n"}, 4},
		{"v1, none", map[string]string{"proc/self/cgroup": "4:cpu:/\n", "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
			"sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n"}, none},
		{"nonsense", map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "100000\n"}, none},
		{"no period", map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "100000 0\n"}, none},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := quota(systemFiles(t, tc.files)); got != tc.want {
				t.Errorf("%d processors, want %d", got, tc.want)
			}
		})
	}
}
