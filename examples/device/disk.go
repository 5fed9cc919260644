package main

import (
	"errors"
	"sort"
	"strings"
)

// maxDisks keeps the document small on machines with a mount for each container.
const maxDisks = 8

// usage is a file system's size in bytes.
type usage struct{ total, free, avail uint64 }

// kept are the file systems that hold a device's data. Network file systems are left out on
// purpose: statfs on a dead server blocks, and with it the sampler.
var kept = map[string]bool{
	"bcachefs": true, "btrfs": true, "exfat": true, "ext2": true, "ext3": true, "ext4": true, "f2fs": true,
	"jffs2": true, "jfs": true, "ntfs3": true, "overlay": true, "reiserfs": true, "squashfs": true, "ubifs": true,
	"vfat": true, "xfs": true, "yaffs2": true, "zfs": true, "erofs": true,
}

// disks measures the root file system and those of the kept kinds, each device once, at its
// shortest mount point.
func (s *sampler) disks() ([]Disk, error) {
	var out []Disk
	seen := map[string]bool{}
	for _, m := range s.mounts() {
		if seen[m.device] || len(out) == maxDisks {
			continue
		}
		u, err := s.statfs(m.path)
		if err != nil || u.total == 0 {
			continue
		}
		seen[m.device] = true
		out = append(out, Disk{Path: m.path, FS: m.kind, Total: u.total, Used: less(u.total, u.free), Free: u.avail, RO: m.ro})
	}
	if out == nil {
		return nil, errors.New("no file system could be measured")
	}
	return out, nil
}

type mount struct {
	path, kind, device string
	ro                 bool
}

// mounts lists what to measure, "/" first; "/" alone where the mount table cannot be read.
func (s *sampler) mounts() []mount {
	root := []mount{{path: "/", kind: "root", device: "/"}}
	fs, err := s.fs()
	if err != nil {
		return root
	}
	self, err := fs.Self()
	if err != nil {
		return root
	}
	table, err := self.MountInfo()
	if err != nil {
		return root
	}
	var out []mount
	for _, m := range table {
		if m.MountPoint != "/" && (!kept[m.FSType] || strings.HasPrefix(m.MountPoint, "/snap/")) {
			continue
		}
		_, ro := m.Options["ro"]
		out = append(out, mount{path: m.MountPoint, kind: m.FSType, device: m.MajorMinorVer, ro: ro})
	}
	if len(out) == 0 {
		return root
	}
	sort.SliceStable(out, func(i, j int) bool { return len(out[i].path) < len(out[j].path) })
	return out
}
