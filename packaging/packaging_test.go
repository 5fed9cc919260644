// Package packaging tests the packages of examples/product: build.sh makes them.
package packaging

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/internal/exhaustive"
)

const version = "1.2.3"

// targets are the files that build.sh makes, by their targets.
var targets = map[string]string{
	"amd64": "mangusta-product_1.2.3_amd64.deb", "arm64": "mangusta-product_1.2.3_arm64.deb", "armhf": "mangusta-product_1.2.3_armhf.deb",
	"arm": "mangusta-product_1.2.3_arm_cortex-a7_neon-vfpv4.ipk", "mipsel": "mangusta-product_1.2.3_mipsel_24kc.ipk",
}

// need skips the test where one of the programs is not installed.
func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("SKIPPED, NOT TESTED: there is no %s here", p)
		}
	}
}

// run runs a command and returns what it prints.
func run(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// build makes packages of a program that is none, and returns their directory.
func build(t *testing.T, version string, env []string, args ...string) string {
	t.Helper()
	need(t, "bash", "xz", "gzip", "tar", "git")
	dir := t.TempDir()
	program := filepath.Join(dir, "program")
	if err := os.WriteFile(program, []byte("#!/bin/sh\necho version "+version+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	env = append([]string{"VERSION=" + version, "SOURCE_DATE_EPOCH=1700000000"}, env...)
	out := filepath.Join(dir, "out")
	run(t, env, "sh", append([]string{"-c", `umask ${UMASK:-022} && exec ./build.sh "$@"`, "sh", "-o", out, "-with", program}, args...)...)
	return out
}

// The same source makes the same bytes, whatever the machine is set to.
func TestReproducible(t *testing.T) {
	first := build(t, version, []string{"TZ=UTC", "LC_ALL=C"})
	second := build(t, version, []string{"TZ=Asia/Tokyo", "LC_ALL=de_DE.UTF-8", "UMASK=077", "TMPDIR=" + t.TempDir()})
	for target, name := range targets {
		a, err := os.ReadFile(filepath.Join(first, name))
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(second, name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(a, b) {
			t.Errorf("%s: two packages of the same source differ", target)
		}
	}
}

// A file of an archive: its mode, its owner and its content.
type file struct {
	mode, owner string
	text        string
}

// untar reads a tar file; gzipped says that it is compressed.
func untar(t *testing.T, r io.Reader, gzipped bool) map[string]file {
	t.Helper()
	if gzipped {
		z, err := gzip.NewReader(r)
		if err != nil {
			t.Fatal(err)
		}
		if z.Name != "" || !z.ModTime.IsZero() {
			t.Errorf("gzip's header names %q of %v", z.Name, z.ModTime)
		}
		r = z
	}
	files := map[string]file{}
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		if h.ModTime.Unix() != 1700000000 {
			t.Errorf("%s is of %v", h.Name, h.ModTime)
		}
		files[h.Name] = file{fmt.Sprintf("%c%03o", h.Typeflag, h.Mode), fmt.Sprintf("%d:%d %s:%s", h.Uid, h.Gid, h.Uname, h.Gname), string(text)}
	}
}

// want compares the names and modes of files, and that they all are root's. Directories are 755.
func want(t *testing.T, files map[string]file, modes map[string]string) {
	t.Helper()
	for name, f := range files {
		if f.owner != "0:0 :" && f.owner != "0:0 root:root" {
			t.Errorf("%s is owned by %s", name, f.owner)
		}
		if f.mode == "5755" {
			continue
		}
		if mode, ok := modes[name]; !ok || f.mode != mode {
			t.Errorf("%s: %s, want %q", name, f.mode, mode)
		}
	}
	for name := range modes {
		if _, ok := files[name]; !ok {
			t.Errorf("there is no %s", name)
		}
	}
}

func TestDeb(t *testing.T) {
	need(t, "dpkg-deb")
	dir := build(t, version, nil, "amd64", "arm64", "armhf")
	for _, arch := range []string{"amd64", "arm64", "armhf"} {
		path := filepath.Join(dir, targets[arch])
		for field, value := range map[string]string{"Package": "mangusta-product", "Version": version, "Architecture": arch, "Depends": "init-system-helpers"} {
			if got := strings.TrimSpace(run(t, nil, "dpkg-deb", "-f", path, field)); got != value {
				t.Errorf("%s: %s is %q, want %q", arch, field, got, value)
			}
		}
		root, control := t.TempDir(), t.TempDir()
		run(t, nil, "dpkg-deb", "-x", path, root)
		run(t, nil, "dpkg-deb", "-e", path, control)
		run(t, nil, "sh", "-c", `cd "$0" && md5sum -c --quiet "$1/md5sums"`, root, control)
		if got, err := os.ReadFile(filepath.Join(control, "conffiles")); string(got) != "/etc/default/mangusta-product\n" {
			t.Errorf("conffiles: %q %v", got, err)
		}
		want(t, untar(t, strings.NewReader(run(t, nil, "dpkg-deb", "--ctrl-tarfile", path)), false), map[string]string{
			"./control": "0644", "./conffiles": "0644", "./md5sums": "0644", "./postinst": "0755", "./prerm": "0755", "./postrm": "0755",
		})
		files := untar(t, strings.NewReader(run(t, nil, "dpkg-deb", "--fsys-tarfile", path)), false)
		want(t, files, map[string]string{
			"./usr/bin/mangusta-product":                        "0755",
			"./etc/default/mangusta-product":                    "0644",
			"./usr/lib/systemd/system/mangusta-product.service": "0644",
			"./usr/lib/systemd/system/mangusta-product.socket":  "0644",
			"./usr/share/doc/mangusta-product/copyright":        "0644",
		})
		// The unit, the sockets and the options name the same file, and the same ports.
		for path, parts := range map[string][]string{
			"./usr/lib/systemd/system/mangusta-product.service": {"ExecStart=/usr/bin/mangusta-product ", "EnvironmentFile=/etc/default/mangusta-product\n"},
			"./usr/lib/systemd/system/mangusta-product.socket":  {"ListenStream=443\n", "ListenStream=80\n"},
			"./etc/default/mangusta-product":                    {" -tls", "-listen [::]:443", "-http [::]:80"},
		} {
			for _, part := range parts {
				if !strings.Contains(files[path].text, part) && !strings.Contains(files[path].text, strings.Replace(part, " -tls", `"-tls`, 1)) {
					t.Errorf("%s has no %q", path, part)
				}
			}
		}
	}
}

func TestIpk(t *testing.T) {
	dir := build(t, version, nil, "arm", "mipsel")
	for target, arch := range map[string]string{"arm": "arm_cortex-a7_neon-vfpv4", "mipsel": "mipsel_24kc"} {
		f, err := os.Open(filepath.Join(dir, targets[target]))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		members := untar(t, f, true)
		want(t, members, map[string]string{"./debian-binary": "0644", "./control.tar.gz": "0644", "./data.tar.gz": "0644"})
		if members["./debian-binary"].text != "2.0\n" {
			t.Errorf("debian-binary: %q", members["./debian-binary"].text)
		}
		control := untar(t, strings.NewReader(members["./control.tar.gz"].text), true)
		want(t, control, map[string]string{"./control": "0644", "./conffiles": "0644", "./postinst": "0755", "./prerm": "0755"})
		if control["./conffiles"].text != "/etc/config/mangusta-product\n" {
			t.Errorf("conffiles: %q", control["./conffiles"].text)
		}
		for _, line := range []string{"Package: mangusta-product\n", "Version: 1.2.3\n", "Architecture: " + arch + "\n", "Require-User: mangusta:mangusta\n"} {
			if !strings.Contains(control["./control"].text, line) {
				t.Errorf("control has no %q: %s", line, control["./control"].text)
			}
		}
		want(t, untar(t, strings.NewReader(members["./data.tar.gz"].text), true), map[string]string{
			"./usr/bin/mangusta-product": "0755", "./etc/init.d/mangusta-product": "0755",
			"./etc/config/mangusta-product": "0600", "./lib/upgrade/keep.d/mangusta-product": "0644",
		})
	}
}

// dpkg itself installs, upgrades, removes and purges the package, in a directory of the test's own.
func TestDpkg(t *testing.T) {
	need(t, "dpkg", "deb-systemd-helper")
	root := t.TempDir()
	for _, d := range []string{"var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/private", "etc"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	at := func(name string) string { return filepath.Join(root, name) }
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(at(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at(name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("var/lib/dpkg/status", "")
	write("var/lib/dpkg/available", "")
	arch := strings.TrimSpace(run(t, nil, "dpkg", "--print-architecture"))
	if targets[arch] == "" {
		t.Skipf("there is no package for %s", arch)
	}
	dpkg := func(args ...string) string {
		t.Helper()
		return run(t, []string{"PATH=" + os.Getenv("PATH") + ":/usr/sbin:/sbin"}, "dpkg", append([]string{
			"--root=" + root, "--force-not-root,script-chrootless,depends,confold,bad-path", "--log=/dev/null"}, args...)...)
	}
	there := func(name string, want bool) {
		t.Helper()
		if _, err := os.Lstat(at(name)); (err == nil) != want {
			t.Errorf("%s: %v, want it there: %v", name, err, want)
		}
	}
	const wanted = "etc/systemd/system/multi-user.target.wants/mangusta-product.service"
	const options = "etc/default/mangusta-product"
	dpkg("-i", filepath.Join(build(t, "1.2.3", nil, arch), "mangusta-product_1.2.3_"+arch+".deb"))
	there("usr/bin/mangusta-product", true)
	there(wanted, true)
	there("etc/systemd/system/sockets.target.wants/mangusta-product.socket", true)

	// The owner's options and state outlive an upgrade, and so does a service that was switched off.
	write(options, "OPTIONS=\"-tls -listen 127.0.0.1:8443\"\n")
	write("var/lib/private/mangusta-product/settings.json", "{}")
	if err := os.Symlink("private/mangusta-product", at("var/lib/mangusta-product")); err != nil {
		t.Fatal(err)
	}
	write("var/lib/private/other/settings.json", "{}")
	if err := os.Remove(at(wanted)); err != nil {
		t.Fatal(err)
	}
	dpkg("-i", filepath.Join(build(t, "1.2.4", nil, arch), "mangusta-product_1.2.4_"+arch+".deb"))
	if out := run(t, nil, at("usr/bin/mangusta-product")); out != "version 1.2.4\n" {
		t.Errorf("after the upgrade: %q", out)
	}
	if text, err := os.ReadFile(at(options)); !strings.Contains(string(text), "8443") {
		t.Errorf("the options: %q %v", text, err)
	}
	there("var/lib/mangusta-product/settings.json", true)
	there(wanted, false)

	dpkg("-r", "mangusta-product")
	there("usr/bin/mangusta-product", false)
	there(options, true)
	there("var/lib/mangusta-product/settings.json", true)

	dpkg("-P", "mangusta-product")
	there(options, false)
	there("var/lib/mangusta-product", false)
	there("var/lib/private/mangusta-product", false)
	there("var/lib/private/other/settings.json", true)
	there("etc/systemd/system/sockets.target.wants/mangusta-product.socket", false)
	if left, err := os.ReadDir(at("var/lib/systemd/deb-systemd-helper-enabled")); err == nil && slices.ContainsFunc(left, func(e os.DirEntry) bool { return !e.IsDir() }) {
		t.Errorf("left: %v", left)
	}
}

// systemd finds nothing wrong with the units, and little that the service could do.
func TestUnits(t *testing.T) {
	need(t, "systemd-analyze")
	dir := t.TempDir()
	for _, name := range []string{"mangusta-product.service", "mangusta-product.socket"} {
		text, err := os.ReadFile(filepath.Join("systemd", name))
		if err != nil {
			t.Fatal(err)
		}
		// The program is not installed here.
		text = bytes.ReplaceAll(text, []byte("/usr/bin/mangusta-product"), []byte("/bin/true"))
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	unit := filepath.Join(dir, "mangusta-product.service")
	if out := run(t, nil, "systemd-analyze", "verify", "--man=no", unit, filepath.Join(dir, "mangusta-product.socket")); strings.Contains(out, "mangusta") {
		t.Error(out)
	}
	out := run(t, nil, "systemd-analyze", "security", "--offline=yes", "--threshold=15", "--no-pager", unit) // of 100
	t.Log(out[strings.LastIndex(strings.TrimSpace(out), "\n")+1:])
}

// sh runs a script with the shell that OpenWrt has, or with that of this machine.
func sh(t *testing.T, env []string, script string, args ...string) string {
	t.Helper()
	shell := []string{"sh", "-eu", "-c", script, "sh"}
	if _, err := exec.LookPath("busybox"); err == nil {
		shell = append([]string{"busybox"}, shell...)
	}
	return run(t, env, shell[0], append(shell[1:], args...)...)
}

// The init script, over functions that print what OpenWrt's would do.
func TestInit(t *testing.T) {
	const functions = `
config_load() { :; }
config_get() { eval "export $1=\"\${OPTION_$3:-$4}\""; }
config_get_bool() { config_get "$@"; }
mkdir() { echo mkdir "$@"; }
chown() { echo chown "$@"; }
chmod() { echo chmod "$@"; }
for f in procd_open_instance procd_close_instance procd_set_param procd_append_param procd_add_reload_trigger; do
	eval "$f() { echo $f \"\$@\"; }"
done
. ./openwrt/init
start_service
service_triggers
echo "$START $STOP $USE_PROCD"
`
	for _, tt := range []struct {
		env  []string
		want []string
	}{
		{nil, []string{
			"mkdir -p /etc/mangusta-product", "chown mangusta:mangusta /etc/mangusta-product", "chmod 0700 /etc/mangusta-product", "procd_open_instance",
			"procd_set_param command /usr/bin/mangusta-product -tls -listen [::]:8443 -data /etc/mangusta-product", "procd_set_param user mangusta",
			"procd_set_param group mangusta", "procd_set_param no_new_privs 1", "procd_set_param respawn 3600 5 0", "procd_close_instance", "procd_add_reload_trigger mangusta-product", "95 10 1",
		}},
		{[]string{"OPTION_http=[::]:8080", "OPTION_data=/data"}, []string{"procd_append_param command -http [::]:8080", "chown mangusta:mangusta /data"}},
	} {
		lines := strings.Split(sh(t, tt.env, functions), "\n")
		for _, line := range tt.want {
			if !slices.Contains(lines, line) {
				t.Errorf("%v: there is no %q in %q", tt.env, line, lines)
			}
		}
	}
	if out := sh(t, []string{"OPTION_enabled=0"}, functions); strings.Contains(out, "procd_open_instance") || strings.Contains(out, "mkdir") {
		t.Errorf("it is switched off: %s", out)
	}
}

// The scripts of the package leave it to OpenWrt's functions, in the system and in an image, and do
// nothing without them.
func TestIpkScripts(t *testing.T) {
	image := t.TempDir()
	if err := os.MkdirAll(filepath.Join(image, "lib"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, script := range []string{"postinst", "prerm"} {
		run := func() string {
			return sh(t, []string{"IPKG_INSTROOT=" + image}, `. "$1"`, filepath.Join("openwrt", script))
		}
		os.Remove(filepath.Join(image, "lib/functions.sh"))
		if out := run(); out != "" {
			t.Errorf("%s: %q", script, out)
		}
		if err := os.WriteFile(filepath.Join(image, "lib/functions.sh"), []byte("default_postinst() { echo postinst; }\ndefault_prerm() { echo prerm; }\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if out := run(); out != script+"\n" {
			t.Errorf("%s: %q", script, out)
		}
	}
}

func TestWrongArguments(t *testing.T) {
	need(t, "bash")
	for _, tt := range []struct {
		args []string
		want string
	}{{[]string{"-x"}, "packaging/build.sh [-o DIR]"}, {[]string{"-o", t.TempDir(), "-with", "/bin/sh", "sparc"}, "there is no target sparc"}} {
		out, err := exec.CommandContext(t.Context(), "./build.sh", tt.args...).CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 2 || !strings.Contains(string(out), tt.want) {
			t.Errorf("%v: %v %s, want %s", tt.args, err, out, tt.want)
		}
	}
}

// The long form builds all five for real, and starts the programs that are in them.
func TestRealPackages(t *testing.T) {
	if !exhaustive.On() {
		t.Skip("a long form: MANGUSTA_EXHAUSTIVE=1")
	}
	need(t, "dpkg-deb", "qemu-arm", "qemu-mipsel")
	out := t.TempDir()
	t.Log(run(t, []string{"VERSION=" + version}, "./build.sh", "-o", out))
	for target, qemu := range map[string]string{"amd64": "", "armhf": "qemu-arm", "arm": "qemu-arm", "mipsel": "qemu-mipsel"} {
		dir := t.TempDir()
		if path := filepath.Join(out, targets[target]); strings.HasSuffix(path, ".deb") {
			run(t, nil, "dpkg-deb", "-x", path, dir)
		} else {
			run(t, nil, "sh", "-c", `cd "$0" && tar -xzf "$1" && tar -xzf data.tar.gz`, dir, path)
		}
		program := filepath.Join(dir, "usr/bin/mangusta-product")
		cmd := exec.CommandContext(t.Context(), program, "-listen", "0.0.0.0:0", "-data", t.TempDir())
		if qemu != "" {
			cmd = exec.CommandContext(t.Context(), qemu, append([]string{program}, cmd.Args[1:]...)...)
		}
		if said, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(said), "add -tls") {
			t.Errorf("%s: %v %s", target, err, said)
		}
	}
}
