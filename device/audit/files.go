package audit

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"
)

func isMissing(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// versions reads what the program was built from.
func (r *Report) versions() {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return
	}
	version := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			version += " " + s.Value
		}
		if built, err := time.Parse(time.RFC3339, s.Value); s.Key == "vcs.time" && err == nil && r.Time.Sub(built) > 365*24*time.Hour {
			r.found(Warning, "this program is of "+built.Format(time.DateOnly), "flaws that became known since then are in it", "update it")
		}
	}
	r.Versions = append(r.Versions, strings.TrimSpace(info.Main.Path+" "+version), info.GoVersion)
	for _, d := range info.Deps {
		r.Versions = append(r.Versions, d.Path+" "+d.Version)
	}
}

// files looks at the permissions of what is private, and of the directories above.
func (r *Report) files(o Options) {
	for _, name := range o.Private {
		root := r.above(name)
		err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := e.Info()
			if err == nil && info.Mode()&fs.ModeSymlink != 0 && path == root {
				_, err = os.Stat(path) // above could not follow it
				return err
			}
			if err != nil || info.Mode()&fs.ModeSymlink != 0 {
				return err
			}
			p := info.Mode().Perm()
			switch {
			case e.IsDir() && p&0o077 == 0:
				return fs.SkipDir // nobody else gets below it
			case e.IsDir() && p&0o022 == 0, p&0o077 == 0:
				return nil
			case e.IsDir():
				r.found(Unsafe, fmt.Sprintf("%s has mode %04o", path, p), "other users of this machine can replace what is in it", "chmod go-w "+path)
			default:
				r.found(Unsafe, fmt.Sprintf("%s has mode %04o", path, p), "other users of this machine can read or change the secrets in it", "chmod go= "+path)
			}
			return nil
		})
		if err != nil && !isMissing(err) {
			r.found(Warning, fmt.Sprintf("%s cannot be looked at: %v", root, err), "its permissions are not known", "run the audit as the firmware's user or as root")
		}
	}
	if o.Slots != "" {
		for _, name := range []string{o.Slots, filepath.Join(o.Slots, "a"), filepath.Join(o.Slots, "b")} {
			if info, err := os.Stat(name); err == nil && info.Mode().Perm()&0o022 != 0 {
				r.found(Unsafe, fmt.Sprintf("%s has mode %04o", name, info.Mode().Perm()), "other users of this machine can replace the firmware", fmt.Sprintf("chmod go-w %s", name))
			}
		}
		r.above(o.Slots)
	}
}

// above looks at the directories above a path: whoever may write there can replace it. It returns the
// path that a symbolic link leads to, and looks at the directories above that, too.
func (r *Report) above(path string) string {
	r.aboveOne(path)
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		return path
	}
	a, errA := filepath.Abs(path)
	b, errB := filepath.Abs(target)
	if errA != nil || errB != nil || a == b {
		return path
	}
	r.aboveOne(target)
	return target
}

func (r *Report) aboveOne(path string) {
	path, err := filepath.Abs(path)
	if err != nil {
		return
	}
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		if info, err := os.Stat(dir); err == nil && info.Mode().Perm()&0o002 != 0 && info.Mode()&fs.ModeSticky == 0 {
			r.found(Unsafe, fmt.Sprintf("%s, above %s, has mode %04o", dir, path, info.Mode().Perm()), "every user of this machine can put something else in its place", fmt.Sprintf("chmod o-w %s", dir))
		}
		if dir == filepath.Dir(dir) {
			return
		}
	}
}

// A Certificate is one of the device's.
type Certificate struct {
	File  string    `json:"file"`
	Names []string  `json:"names"`
	Ends  time.Time `json:"ends"`
}

// certificates looks at how long they are valid.
func (r *Report) certificates(o Options) {
	for _, file := range o.Certificates {
		text, err := os.ReadFile(file)
		if isMissing(err) {
			continue
		}
		var c *x509.Certificate
		if err == nil {
			c, err = firstCertificate(text)
		}
		if err != nil {
			r.found(Unsafe, fmt.Sprintf("the certificate %s cannot be read: %v", file, err), "clients do not get it", "upload it again")
			continue
		}
		names := append([]string{}, c.DNSNames...)
		for _, a := range c.IPAddresses {
			names = append(names, a.String())
		}
		r.Certificates = append(r.Certificates, Certificate{file, names, c.NotAfter})
		switch left := c.NotAfter.Sub(r.Time); {
		case left < 0:
			r.found(Unsafe, fmt.Sprintf("the certificate %s has expired on %s", file, c.NotAfter.Format(time.DateOnly)), "browsers warn, and users learn to click warnings away", "upload a new one, or remove it: the device has its own")
		case left < 14*24*time.Hour:
			r.found(Warning, fmt.Sprintf("the certificate %s ends in %d days", file, int(left.Hours()/24)), "browsers will warn then", "upload a new one")
		}
	}
}

func firstCertificate(text []byte) (*x509.Certificate, error) {
	for {
		var b *pem.Block
		if b, text = pem.Decode(text); b == nil {
			return nil, errors.New("there is none in PEM")
		}
		if b.Type == "CERTIFICATE" {
			return x509.ParseCertificate(b.Bytes)
		}
	}
}

// updates looks at how the device gets its updates.
func (r *Report) updates(o Options) {
	switch {
	case o.NoUpdates:
		r.found(Note, "the device takes no updates", "flaws that become known stay in it", "give it slots and a key")
	case len(o.UpdateKeys) > 2:
		r.found(Warning, fmt.Sprintf("updates may be signed with %d keys", len(o.UpdateKeys)), "a thief of any of them can replace the firmware", "remove those that are not in use")
	}
}
