package main

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/seed4930a636/mangusta/examples/internal/programtest"
)

func TestMain(m *testing.M) { programtest.Main(m, main) }

// phone is a shell script that plays a phone, in a network namespace of its own: its only neighbour is
// the device, which gave it its address as its DNS server. The test compares its output.
const phone = `
echo "nameserver 192.168.4.1" > $DIR/resolv.conf
mount --bind $DIR/resolv.conf /etc/resolv.conf
get() { curl -s -m 10 -o $DIR/body -w '%{http_code} %{redirect_url}\n' "$@"; }
echo "probe: $(get http://connectivitycheck.gstatic.com/generate_204)"
echo "apple: $(get http://captive.apple.com/hotspot-detect.html)"
echo "windows: $(get http://www.msftconnecttest.com/connecttest.txt)"
echo "firefox: $(get http://detectportal.firefox.com/canonical.html)"
echo "https: $(curl -s -m 10 https://example.org/; echo $?)"
echo "page: $(get -L http://example.org/) $(grep -c '<form' $DIR/body)"
echo "api: $(curl -s -m 10 http://192.168.4.1/captive-portal/api)"
if command -v dig >/dev/null; then
	echo "dig A: $(dig +short +tries=1 any.name.example)"
	echo "dig AAAA: $(dig +short +tries=1 any.name.example AAAA)"
	echo "dig HTTPS: $(dig +short +tries=1 any.name.example TYPE65)"
	echo "dig DoH: $(dig +tries=1 use-application-dns.net | grep -o 'status: [A-Z]*')"
	echo "dig CH: $(dig +tries=1 CH TXT version.bind | grep -o 'status: [A-Z]*')"
fi
i=0
until curl -s -m 10 http://192.168.4.1/ | grep -q Home || [ $i = 200 ]; do i=$((i+1)); sleep 0.05; done
echo "wrong: $(get -d ssid=486f6d65 -d passphrase='wrong horse' http://192.168.4.1/join)"
i=0
until curl -s -m 10 http://192.168.4.1/ | grep -q 'passphrase is wrong' || [ $i = 200 ]; do i=$((i+1)); sleep 0.05; done
echo "join: $(get -d ssid=486f6d65 -d passphrase='correct horse' http://192.168.4.1/join)"
i=0
until curl -s -m 10 http://192.168.4.1/ | grep -q 'Connected to <b>Home</b>' || [ $i = 200 ]; do i=$((i+1)); sleep 0.05; done
echo "probe: $(get http://connectivitycheck.gstatic.com/generate_204)"
echo "api: $(curl -s -m 10 http://192.168.4.1/captive-portal/api)"
`

const phoneSays = `probe: 302 http://192.168.4.1/
apple: 302 http://192.168.4.1/
windows: 302 http://192.168.4.1/
firefox: 302 http://192.168.4.1/
https: 7
page: 200  2
api: {"captive":true,"user-portal-url":"http://192.168.4.1/"}
`

const digSays = `dig A: 192.168.4.1
dig AAAA: 
dig HTTPS: 
dig DoH: status: NXDOMAIN
dig CH: status: REFUSED
`

const thenItSays = `wrong: 303 http://192.168.4.1/
join: 303 http://192.168.4.1/
probe: 204 
api: {"captive":false,"user-portal-url":"http://192.168.4.1/"}
panics: 0
`

// The device and a phone, in two namespaces with a cable between them.
func TestInNetworkNamespaces(t *testing.T) {
	programtest.EachPoller(t, func(t *testing.T, poller string) {
		for _, p := range []string{"ip", "curl", "unshare", "nsenter", "mount"} {
			if _, err := exec.LookPath(p); err != nil {
				if _, err := os.Stat("/usr/sbin/" + p); err != nil {
					t.Skipf("%s is not installed", p)
				}
			}
		}
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		// The phone's namespace belongs to a process that waits until its input ends.
		const device = `
set -e
PATH=$PATH:/usr/sbin:/sbin
mkfifo $DIR/hold $DIR/ready
unshare -n sh -c 'echo $$ > '$DIR'/ready; exec cat '$DIR'/hold' &
read phone < $DIR/ready
exec 3> $DIR/hold
ip link set lo up
ip link add ap0 type veth peer name wlan0 netns $phone
ip addr add 192.168.4.1/24 dev ap0
ip link set ap0 up
nsenter -t $phone -n ip addr add 192.168.4.10/24 dev wlan0
nsenter -t $phone -n ip link set wlan0 up
nsenter -t $phone -n ip link set lo up
"$SELF" -address 192.168.4.1 -dns 192.168.4.1:53 -listen 192.168.4.1:80 -poller "$POLLER" > $DIR/log 2>&1 &
portal=$!
i=0
until grep -q listening $DIR/log || [ $i = 400 ]; do i=$((i+1)); sleep 0.05; done
nsenter -t $phone -n unshare -m sh -c "$PHONE" 3>&-
kill $portal
wait $portal
echo "panics: $(grep -c panicked $DIR/log)"
exec 3>&-
wait
`
		cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", device)
		cmd.Env = append(os.Environ(), "DIR="+t.TempDir(), "SELF="+self, "POLLER="+poller, "PHONE="+phone)
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET | syscall.CLONE_NEWNS,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
			Pdeathsig:   syscall.SIGKILL,
		}
		out, err := cmd.Output()
		if err != nil && len(out) == 0 {
			if e, ok := err.(*exec.ExitError); ok {
				t.Skipf("no namespaces here: %v, %s", err, e.Stderr)
			}
			t.Skip("no namespaces here: ", err)
		}
		want := phoneSays
		if _, err := exec.LookPath("dig"); err == nil {
			want += digSays
		}
		want += thenItSays
		if err != nil || string(out) != want {
			t.Errorf("%v; the phone says\n%s\nwant\n%s", err, out, want)
		}
	})
}

func TestFlagsThatAreRefused(t *testing.T) {
	for _, tt := range []struct{ args, want string }{
		{"-dns 127.0.0.1:0", "-dns needs -address"},
		{"-address here", "-address: "},
		{"extra", "unexpected argument"},
	} {
		out, err := programtest.Run(t, append(strings.Fields("-listen 127.0.0.1:0"), strings.Fields(tt.args)...)...)
		if err == nil || !strings.Contains(out, tt.want) {
			t.Errorf("%s: %v, %s", tt.args, err, out)
		}
	}
}
