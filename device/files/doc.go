// Package files lets people browse the files below one directory of a device, and upload, download,
// rename and delete them, within a quota.
//
//	f, err := files.New(files.Options{Root: "/var/lib/box/files", MaxBytes: 64 << 20, Who: o.Who("files"), Audit: audit})
//	f.Mount(x, "/files", o.Allow(device.User, "files"), o.Allow(device.User, "files"))
//
// # Paths
//
// Whatever a path says, nothing outside of the directory is reached: not by "..", not by a symbolic
// link, and not if one takes the place of a directory at the last moment (os.Root). Names are UTF-8
// without control characters. Only directories and regular files are shown; what has another kind
// or such a name counts for the quota all the same.
//
// # Uploads
//
// A body goes to a temporary file as it comes. The file gets its name when all of it is on the
// disk, so that a reader sees the old content or the new one, whole. An upload that breaks off
// leaves nothing. Of several uploads to one name the last to end stays. An upload holds 256 KiB of
// memory at most: a client that is faster than the disk has to wait.
//
// The loop does not wait for the disk: other goroutines look up, write, rename and delete. Only the
// content of a download is sent from the loop, as http.ServeOpenFile does it.
//
// # Pages
//
// A file may come from a stranger, and must not run as a page of the device. Texts and pictures are
// sent with a policy that forbids everything (CSP sandbox); all else is an attachment.
package files
