package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/internal/exhaustive"
)

// The tests of this file have each node on a machine of its own, as far as its network goes: a
// namespace with two links, one to the other nodes and one to the clients. A link can be cut
// without a word to anybody, as partition_test.go cannot: there the kernel of the one machine goes
// on to acknowledge. All namespaces are children of one that the test binary makes for itself, so
// nothing of this machine's network is touched.

// A network is the namespace of the clients, which is that of the test, and those of the nodes.
type network struct {
	t        *testing.T
	machines []*machine
}

// A machine is a namespace. A process that sleeps holds it.
type machine struct {
	t      *testing.T
	number int
	holder *exec.Cmd
}

// insideNamespace is set in the environment of the test binary that has a namespace of its own.
const insideNamespace = "MANGUSTA_TEST_NAMESPACE"

// inNamespace runs the test in this binary once more, in a namespace of its own, and reports
// whether that is where it is now. It skips the test where that is not allowed.
func inNamespace(t *testing.T) bool {
	t.Helper()
	if !exhaustive.On() {
		t.Skip("it takes half a minute: MANGUSTA_EXHAUSTIVE=1")
	}
	if os.Getenv(insideNamespace) != "" {
		return true
	}
	t.Parallel()
	for _, tool := range []string{"ip", "nsenter", "nft"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("SKIPPED, NOT TESTED: there is no %s here (apt-get install iproute2 util-linux nftables)", tool)
		}
	}
	if out, err := isolated("ip", "link", "add", "mg", "type", "veth").CombinedOutput(); err != nil {
		t.Skipf("SKIPPED, NOT TESTED: no network namespaces here: %v %s", err, out)
	}
	cmd := isolated(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=4m")
	cmd.Env = append(os.Environ(), insideNamespace+"=1", "MANGUSTA_RUN_EXAMPLE=")
	out, err := cmd.CombinedOutput()
	if t.Log(string(out)); err != nil {
		t.Fatal(err)
	}
	return false
}

// isolated is a command in a new network namespace, which ends with the test.
func isolated(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	return cmd
}

// newNetwork makes so many machines. Nodes are at 10.9.0.NUMBER for each other, and at 10.9.1.NUMBER
// for clients.
func newNetwork(t *testing.T, n int) *network {
	t.Helper()
	x := &network{t: t}
	must(t, "ip", "link", "set", "lo", "up")
	for _, bridge := range []string{"nodes", "clients"} {
		must(t, "ip", "link", "add", bridge, "type", "bridge")
		must(t, "ip", "link", "set", bridge, "up")
	}
	must(t, "ip", "addr", "add", "10.9.1.254/24", "dev", "clients")
	for i := range n {
		m := &machine{t: t, number: i + 1, holder: isolated("sleep", "600")}
		if err := m.holder.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { m.holder.Process.Kill(); m.holder.Wait() })
		m.do("ip", "link", "set", "lo", "up")
		for net, bridge := range []string{"nodes", "clients"} {
			here, there := fmt.Sprint(bridge, m.number), bridge
			must(t, "ip", "link", "add", here, "type", "veth", "peer", "name", there, "netns", strconv.Itoa(m.holder.Process.Pid))
			must(t, "ip", "link", "set", here, "master", bridge, "up")
			m.do("ip", "addr", "add", fmt.Sprintf("10.9.%d.%d/24", net, m.number), "dev", there)
			m.do("ip", "link", "set", there, "up")
		}
		m.do("nft", "add table inet cut")
		m.do("nft", "add chain inet cut in { type filter hook input priority 0; }")
		m.do("nft", "add chain inet cut out { type filter hook output priority 0; }")
		x.machines = append(x.machines, m)
	}
	return x
}

func must(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v %s", name, strings.Join(args, " "), err, out)
	}
}

// enter is what a command on the machine begins with.
func (m *machine) enter() []string {
	return []string{"nsenter", "-t", strconv.Itoa(m.holder.Process.Pid), "-n", "--"}
}

// do runs a command on the machine.
func (m *machine) do(name string, args ...string) {
	m.t.Helper()
	list := append(append(m.enter(), name), args...)
	must(m.t, list[0], list[1:]...)
}

// cut drops what the machine sends ("out") or gets ("in") over a link.
func (m *machine) cut(link string, directions ...string) {
	m.t.Helper()
	for _, d := range directions {
		m.do("nft", fmt.Sprintf("add rule inet cut %s %sifname %s drop", d, map[string]string{"in": "i", "out": "o"}[d], link))
	}
}

// heal ends all cuts.
func (m *machine) heal() {
	m.t.Helper()
	m.do("nft", "flush table inet cut")
}

// slow makes the link to the nodes a bad one: late and with losses, or, where the kernel has no
// netem, a narrow one.
func (m *machine) slow() {
	m.t.Helper()
	netem := append(m.enter(), "tc", "qdisc", "add", "dev", "nodes", "root", "netem", "delay", "300ms", "100ms", "loss", "3%")
	if exec.Command(netem[0], netem[1:]...).Run() != nil {
		m.t.Log("there is no netem: the slow link is 300 kbit/s instead")
		m.do("tc", "qdisc", "add", "dev", "nodes", "root", "tbf", "rate", "300kbit", "burst", "5kb", "latency", "800ms")
	}
}

// startOn starts a node on the machine.
func startOn(m *machine, args ...string) *process {
	m.t.Helper()
	return startNodeIn(m.t, m.enter(), append([]string{"-listen", fmt.Sprintf("10.9.1.%d:0", m.number), "-node", fmt.Sprint("n", m.number)}, args...)...)
}

// secretFile makes the password that nodes of several machines need.
func secretFile(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(name, []byte("between nodes"), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// silent is longer than links may be silent, and than a new leader takes.
const silent = 7 * time.Second

// TestThreeMachines: of three nodes with all messages on each, one at a time is cut off: from the
// others, in one direction only, and from everything. It refuses what its clients publish; the
// others go on.
func TestThreeMachines(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	x, secret := newNetwork(t, 3), secretFile(t)
	var peers []string
	for _, m := range x.machines {
		peers = append(peers, fmt.Sprintf("10.9.0.%d:6222", m.number))
	}
	started := make(chan *process, 3)
	for i, m := range x.machines {
		dir := filepath.Join(t.TempDir(), "nats")
		go func() {
			started <- startOn(m, "-self", peers[i], "-peers", strings.Join(peers, ","), "-replicas", "3", "-secret-file", secret, "-dir", dir)
		}()
	}
	var nodes []*process
	for range x.machines {
		nodes = append(nodes, <-started)
	}
	f := startFlood(t, nodes...)
	f.more(100)
	for i, cut := range []func(m *machine){
		func(m *machine) { m.cut("nodes", "in", "out") },
		func(m *machine) { m.cut("nodes", "out") }, // it hears the others, and they do not hear it
		func(m *machine) { m.cut("nodes", "in", "out"); m.cut("clients", "in", "out") },
	} {
		m, some := x.machines[i], 50
		cut(m)
		if i < 2 {
			f.refuse(1)
		} else {
			some = 5 // publishers wait for the answers that do not come
		}
		f.more(some)
		time.Sleep(silent) // the length of the silence is the subject
		f.more(some)
		healed := time.Now()
		m.heal()
		f.everywhere() // with two that are not back yet, one alone takes nothing
		t.Logf("machine %d is back %v after its cut was healed", m.number, time.Since(healed))
		f.more(100)
	}
	f.check()
}

// TestMachineWithoutItsEngine: a node is cut off from the one that has the engine, and comes back;
// another one has a bad link all the time.
func TestMachineWithoutItsEngine(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	x, secret := newNetwork(t, 3), secretFile(t)
	host := startOn(x.machines[0], "-nats-listen", "10.9.0.1:4222", "-secret-file", secret, "-dir", filepath.Join(t.TempDir(), "nats"))
	other := []string{"-nats", "nats://10.9.0.1:4222", "-files", "-secret-file", secret}
	f := startFlood(t, host, startOn(x.machines[1], other...), startOn(x.machines[2], other...))
	f.more(100)
	x.machines[2].slow()
	f.more(100)
	b := x.machines[1]
	for _, directions := range [][]string{{"in", "out"}, {"in"}, {"out"}} {
		b.cut("nodes", directions...)
		f.refuse(1)
		f.more(50)
		time.Sleep(silent)
		f.more(50)
		b.heal()
		f.more(100)
	}
	x.machines[0].cut("nodes", "in", "out") // the engine is cut off from both, but not from its own node
	f.refuse(1)
	time.Sleep(silent)
	f.more(20)
	x.machines[0].heal()
	f.more(100)
	f.check()
}
