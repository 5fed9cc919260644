package about

import (
	"cmp"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/http/json"
)

// Options configure an About. The zero value works.
type Options struct {
	// Name is that of the program; the last part of its package's path when "". Version is its
	// version; the one that the linker has noted when "".
	Name, Version string

	// Board is the kind of device; the name that the firmware tells the kernel when "".
	Board string

	// Licences is the file that golicences has written.
	Licences []byte

	build *debug.BuildInfo // tests have another
}

// An Info is what GET tells.
type Info struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Board   string `json:"board,omitempty"`

	Go       string    `json:"go"`
	System   string    `json:"system"`             // such as "linux/arm"
	Revision string    `json:"revision,omitempty"` // of the source
	Changed  bool      `json:"changed,omitempty"`  // the source was not as the revision has it
	Made     time.Time `json:"made,omitzero"`      // the revision

	Kernel  string    `json:"kernel"`            // such as "Linux 6.12.8 armv7l"
	Began   time.Time `json:"began"`             // the program
	Uptime  int64     `json:"uptime"`            // seconds of the program
	Running int64     `json:"running,omitempty"` // seconds of the machine

	Modules []Module `json:"modules"`
}

// A Module is a part of the program that has a version.
type Module struct {
	Path    string `json:"path"`
	Version string `json:"version,omitempty"`
	Licence string `json:"licence,omitempty"` // its SPDX identifier
}

// An About knows what runs. Its methods are safe for concurrent use, but Mount.
type About struct {
	info Info
	list *Licences
	main string // the path of the program's package
	sums map[string]string
	sbom []byte
}

// began is about when the program began.
var began = time.Now()

// New collects what does not change. It returns an error if Options.Licences is malformed.
func New(opts ...Options) (*About, error) {
	var o Options
	if len(opts) > 0 {
		o = opts[0]
	}
	a := &About{list: &Licences{Modules: []Licensed{}, Texts: []string{}}, sums: map[string]string{}}
	if o.Licences != nil {
		var err error
		if a.list, err = ParseLicences(o.Licences); err != nil {
			return nil, err
		}
	}
	if o.build == nil {
		o.build, _ = debug.ReadBuildInfo()
	}
	a.info = Info{Name: o.Name, Version: o.Version, Board: o.Board, Go: runtime.Version(), System: runtime.GOOS + "/" + runtime.GOARCH,
		Kernel: kernel(), Modules: []Module{}}
	if o.build != nil {
		a.readBuild(o.build)
	}
	a.info.Name = cmp.Or(a.info.Name, a.main[strings.LastIndexByte(a.main, '/')+1:], "program")
	a.info.Version = cmp.Or(a.info.Version, "unknown")
	a.info.Board = cmp.Or(a.info.Board, board())
	a.sbom = a.makeSBOM()
	return a, nil
}

func (a *About) readBuild(b *debug.BuildInfo) {
	a.main = b.Path
	a.info.Version = cmp.Or(a.info.Version, b.Main.Version)
	for _, s := range b.Settings {
		switch s.Key {
		case "vcs.revision":
			a.info.Revision = s.Value
		case "vcs.modified":
			a.info.Changed = s.Value == "true"
		case "vcs.time":
			a.info.Made, _ = time.Parse(time.RFC3339, s.Value)
		}
	}
	a.add("std", strings.TrimPrefix(cmp.Or(b.GoVersion, runtime.Version()), "go"), "")
	for _, m := range b.Deps {
		sum := m.Sum
		if m.Replace != nil {
			sum = m.Replace.Sum
			if m.Replace.Version != "" { // another module in its place; a directory has no version
				a.add(m.Replace.Path, m.Replace.Version, sum)
				continue
			}
		}
		a.add(m.Path, m.Version, sum)
	}
	slices.SortFunc(a.info.Modules, func(x, y Module) int { return cmp.Compare(x.Path, y.Path) })
}

func (a *About) add(path, version, sum string) {
	a.info.Modules = append(a.info.Modules, Module{path, version, a.list.SPDX(path)})
	a.sums[path] = sum
}

// Info returns what runs, at this moment.
func (a *About) Info() Info { return a.at(time.Now(), time.Since(began)) }

// at returns what runs at a time, when the program is up so long. A device without a battery learns
// the time only after the program has begun, so the beginning is counted back from now.
func (a *About) at(now time.Time, up time.Duration) Info {
	i := a.info
	i.Modules = slices.Clone(i.Modules)
	i.Began = now.Add(-up).UTC().Truncate(time.Second)
	i.Uptime = int64(up.Seconds())
	i.Running = running()
	return i
}

// Mount adds the routes of the About to x, below prefix:
//
//	GET PREFIX             an Info, as JSON
//	GET PREFIX/licences    the licences with their texts, and the modules of each: Licences
//	GET PREFIX/sbom.json   what the program is made of, in the format CycloneDX 1.6
//
// mayRead is called for each request. If it returns false it must have replied.
func (a *About) Mount(x *http.Mux, prefix string, mayRead func(c *conn.Conn, r *http.Request) bool) {
	guard := http.Guard(mayRead)
	x.MustHandle("GET "+prefix, func(c *conn.Conn, _ *http.Message) {
		http.SetHeader(c, "Cache-Control", "no-store")
		json.Reply(c, 200, a.Info())
	}, guard)
	x.MustHandle("GET "+prefix+"/licences", func(c *conn.Conn, _ *http.Message) {
		http.SetHeader(c, "Cache-Control", "no-cache")
		json.Reply(c, 200, a.list)
	}, guard)
	x.MustHandle("GET "+prefix+"/sbom.json", func(c *conn.Conn, _ *http.Message) {
		http.SetHeader(c, "Cache-Control", "no-cache")
		http.SetHeader(c, "Content-Disposition", `attachment; filename="sbom.json"`)
		http.ReplyBytes(c, 200, "application/vnd.cyclonedx+json; version=1.6", a.sbom)
	}, guard)
}

// kernel returns the name, the release and the machine of the kernel.
func kernel() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return runtime.GOOS
	}
	return unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:]) + " " + unix.ByteSliceToString(u.Machine[:])
}

// board returns what the firmware calls the machine: by the device tree, or by DMI.
func board() string {
	for _, name := range []string{"/proc/device-tree/model", "/sys/class/dmi/id/product_name"} {
		text, err := os.ReadFile(name)
		if s := strings.TrimSpace(strings.Trim(string(text), "\x00")); err == nil && s != "" {
			return strings.ToValidUTF8(s, "?")
		}
	}
	return ""
}

// running returns since how many seconds the machine runs; 0 is not known.
func running() int64 {
	text, err := os.ReadFile("/proc/uptime")
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(text), ".")
	n, _ := strconv.ParseInt(first, 10, 64)
	return n
}
