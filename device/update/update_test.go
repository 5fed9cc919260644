package update

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/device/internal/disk"
	"github.com/seed4930a636/mangusta/device/internal/disk/disksim"
)

func (m *machine) want(u *Updater, state State, slot, version string) {
	m.t.Helper()
	if s := u.Status(); s.State != state || s.Slot != slot || s.Running.Version != version {
		m.t.Errorf("%s %s in slot %s, want %s %s in slot %s", s.State, s.Running.Version, s.Slot, state, version, slot)
	}
}

var programTwo = []byte("the program of version 2.0, which is a little longer")

func TestAnUpdateIsTriedAndConfirmed(t *testing.T) {
	each(t, func(t *testing.T, newMachine newMachineFunc) {
		key := newSigner(t)
		m := newMachine(t, disk.OS, t.TempDir(), key)
		u := m.on()
		m.want(u, Settled, "a", "1.0")
		if err := send(u, programTwo, key.version(programTwo, "2.0")); err != nil {
			t.Fatal(err)
		}
		m.want(u, Ready, "a", "1.0")
		u = m.on()
		m.want(u, OnTrial, "b", "2.0")
		if err := u.Confirm(); err != nil {
			t.Fatal(err)
		}
		m.want(u, Settled, "b", "2.0")
		m.want(m.on(), Settled, "b", "2.0")
		if err := u.Confirm(); err != nil { // once more is nothing
			t.Error(err)
		}
		// And back into slot a.
		three := []byte("three")
		if err := send(u, three, key.version(three, "3.0")); err != nil {
			t.Fatal(err)
		}
		m.want(m.on(), OnTrial, "a", "3.0")
	})
}

func TestAProgramThatIsNotConfirmedIsRolledBack(t *testing.T) {
	each(t, func(t *testing.T, newMachine newMachineFunc) {
		key := newSigner(t)
		m := newMachine(t, disk.OS, t.TempDir(), key)
		if err := send(m.on(), programTwo, key.version(programTwo, "2.0")); err != nil {
			t.Fatal(err)
		}
		m.want(m.on(), OnTrial, "b", "2.0") // and it crashes
		u := m.on()
		m.want(u, RolledBack, "a", "1.0")
		if u.Status().Failed != "2.0" {
			t.Error(u.Status())
		}
		m.want(m.on(), Settled, "a", "1.0")
		// The next one has its chance, the same version too.
		if err := send(u, programTwo, key.version(programTwo, "2.0")); err != nil {
			t.Fatal(err)
		}
		m.want(m.on(), OnTrial, "b", "2.0")
	})
}

func TestAProgramThatHangsEndsAtTheDeadline(t *testing.T) {
	key := newSigner(t)
	m := newMachine(t, disk.OS, t.TempDir(), key)
	if err := send(m.on(), programTwo, key.version(programTwo, "2.0")); err != nil {
		t.Fatal(err)
	}
	if _, next, err := m.boot("a"); err != nil || next != "b" {
		t.Fatal(err, next)
	}
	exited := make(chan int, 1)
	_, _, err := m.boot("b", func(o *Options) {
		o.Confirm, o.exit = time.Millisecond, func(code int) { exited <- code }
	})
	if err != nil {
		t.Fatal(err)
	}
	if code := <-exited; code != 3 {
		t.Error(code)
	}
	m.want(m.on(), RolledBack, "a", "1.0")
}

// A program for another machine cannot be executed at all.
func TestAProgramThatCannotBeExecutedIsRolledBackAtOnce(t *testing.T) {
	key := newSigner(t)
	m := newMachine(t, disk.OS, t.TempDir(), key)
	if err := send(m.on(), programTwo, key.version(programTwo, "2.0")); err != nil {
		t.Fatal(err)
	}
	u, _, err := m.boot("a", func(o *Options) { o.Exec = func(string) error { return syscall.ENOEXEC } })
	if err != nil {
		t.Fatal(err)
	}
	m.want(u, RolledBack, "a", "1.0")
}

func TestASlotThatIsStartedByHandIsNotTheOneThatRuns(t *testing.T) {
	key := newSigner(t)
	m := newMachine(t, disk.OS, t.TempDir(), key)
	u := m.on()
	if err := send(u, programTwo, key.version(programTwo, "2.0")); err != nil {
		t.Fatal(err)
	}
	m.want(m.on(), OnTrial, "b", "2.0")
	m.want(m.on(), RolledBack, "a", "1.0")
	if _, next, err := m.boot("b"); err != nil || next != "a" {
		t.Error(err, next)
	}
}

func TestUpdatesThatAreRefused(t *testing.T) {
	each(t, func(t *testing.T, newMachine newMachineFunc) {
		key, stranger := newSigner(t), newSigner(t)
		m := newMachine(t, disk.OS, t.TempDir(), key)
		u := m.on()
		p := programTwo
		changed := bytes.Replace(key.version(p, "2.0"), []byte("version=2.0"), []byte("version=9.9"), 1)
		for _, x := range []struct {
			name string
			sig  []byte
			size int
			want error
		}{
			{"another key", stranger.version(p, "2.0"), len(p), ErrSignature},
			{"a comment that was changed", changed, len(p), ErrSignature},
			{"no signature", []byte("untrusted comment: x\n"), len(p), ErrSignature},
			{"a long one", bytes.Repeat([]byte("x"), maxSignature+1), len(p), ErrSignature},
			{"another board", key.sign(p, "version=2.0 board=fox"), len(p), ErrBoard},
			{"the same version", key.version(p, "1.0"), len(p), ErrOlder},
			{"an older version", key.version(p, "0.9"), len(p), ErrOlder},
			{"no version", key.version(p, "new"), len(p), ErrOlder},
			{"no bytes", key.version(p, "2.0"), 0, ErrSize},
			{"too many", key.version(p, "2.0"), 65 << 20, ErrSize},
		} {
			if _, err := u.Begin(x.sig, int64(x.size), false); !errors.Is(err, x.want) {
				t.Errorf("%s: %v", x.name, err)
			}
		}
		if _, err := u.Begin(key.sign(p, "nothing"), int64(len(p)), false); err == nil {
			t.Error("a comment without version and board was taken")
		}
		if _, err := u.Begin(key.version(p, "0.9"), int64(len(p)), true); err != nil {
			t.Errorf("with force: %v", err)
		}
		if _, err := u.Write(make([]byte, len(p)+1)); !errors.Is(err, ErrSize) {
			t.Error(err)
		}
		if _, err := u.Write(p); !errors.Is(err, ErrNoUpdate) {
			t.Error(err)
		}
		// Other bytes than those that were signed.
		if err := send(u, bytes.ToUpper(p), key.version(p, "2.0")); !errors.Is(err, ErrSignature) {
			t.Error(err)
		}
		if names, err := m.fs.List(m.dir); err != nil || fmt.Sprint(names) != m.first {
			t.Error(names, err)
		}
		m.want(m.on(), Settled, "a", "1.0")
	})
}

func TestAProgramThatIsSpoiltOnTheDiskIsNotTried(t *testing.T) {
	each(t, func(t *testing.T, newMachine newMachineFunc) {
		key := newSigner(t)
		m := newMachine(t, disk.OS, t.TempDir(), key)
		u := m.on()
		if err := send(u, programTwo, key.version(programTwo, "2.0")); err != nil {
			t.Fatal(err)
		}
		m.spoil("b")
		m.want(m.on(), RolledBack, "a", "1.0")
		if m.execs != 0 {
			t.Error("it was started")
		}
	})
}

func TestAnUpdateGoesOnWhereItBrokeOff(t *testing.T) {
	each(t, func(t *testing.T, newMachine newMachineFunc) {
		key := newSigner(t)
		m := newMachine(t, disk.OS, t.TempDir(), key)
		sig := key.version(programTwo, "2.0")
		u := m.on()
		if _, err := u.Begin(sig, int64(len(programTwo)), false); err != nil {
			t.Fatal(err)
		}
		if _, err := u.Write(programTwo[:20]); err != nil {
			t.Fatal(err)
		}
		if _, err := u.Finish(); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Error(err)
		}
		u = m.on() // another run
		other := key.version(programTwo, "2.1")
		for _, x := range []struct {
			sig  []byte
			want int64
		}{{sig, 20}, {sig, 20}, {other, 0}, {sig, 0}} {
			if offset, err := u.Begin(x.sig, int64(len(programTwo)), false); offset != x.want || err != nil {
				t.Errorf("it goes on at %d, want %d (%v)", offset, x.want, err)
			}
		}
		if err := send(u, programTwo, sig); err != nil {
			t.Error(err)
		}
		m.want(m.on(), OnTrial, "b", "2.0")
	})
}

func TestNothingIsReceivedDuringATrial(t *testing.T) {
	each(t, func(t *testing.T, newMachine newMachineFunc) {
		key := newSigner(t)
		m := newMachine(t, disk.OS, t.TempDir(), key)
		if err := send(m.on(), programTwo, key.version(programTwo, "2.0")); err != nil {
			t.Fatal(err)
		}
		u := m.on()
		if err := send(u, programTwo, key.version(programTwo, "3.0")); !errors.Is(err, ErrTrial) {
			t.Error(err)
		}
	})
}

func TestASuccessorMayBeStartedWhileTheOldProgramGoesOn(t *testing.T) {
	each(t, func(t *testing.T, newMachine newMachineFunc) {
		key := newSigner(t)
		m := newMachine(t, disk.OS, t.TempDir(), key)
		u := m.on()
		if _, err := u.Start(); err == nil {
			t.Error("nothing was ready")
		}
		for _, fails := range []bool{true, false} {
			if err := send(u, programTwo, key.version(programTwo, "2.0")); err != nil {
				t.Fatal(err)
			}
			path, err := u.Start()
			if err != nil || path != m.path("b") {
				t.Fatal(path, err)
			}
			if fails {
				if err := u.Failed(errors.New("it never got ready")); err != nil {
					t.Fatal(err)
				}
				m.want(u, RolledBack, "a", "1.0")
				continue
			}
			successor, next, err := m.boot("b")
			if err != nil || next != "" {
				t.Fatal(err, next)
			}
			m.want(successor, OnTrial, "b", "2.0")
			if err := successor.Confirm(); err != nil {
				t.Fatal(err)
			}
		}
		m.want(m.on(), Settled, "b", "2.0")
	})
}

// Whenever the power is cut, and whatever the disk has of the last writes then: a whole and signed
// program runs, and an update that is sent again arrives.
func TestAPowerCutAtAnyWriteLeavesOneBootableProgram(t *testing.T) {
	each(t, func(t *testing.T, newMachine newMachineFunc) {
		key := newSigner(t)
		sigTwo := key.version(programTwo, "2.0")
		good, bad := true, false
		for _, confirms := range []bool{good, bad} {
			for cut := 1; ; cut++ {
				over := false
				for seed := range uint64(12) {
					rnd := rand.New(rand.NewPCG(seed, uint64(cut)))
					sim := disksim.New()
					m := newMachine(t, sim, "/box", key)
					sim.CutAt = sim.Ops() + cut
					u := m.on()
					err := send(u, programTwo, sigTwo)
					if err == nil {
						if u, err = m.power(); err == nil && confirms {
							err = u.Confirm()
						}
					}
					over = sim.Ops() < sim.CutAt
					if err != nil && !errors.Is(err, disksim.ErrCut) && !over {
						t.Fatal(err)
					}
					// The power comes back. It is cut again at some write of the start, or not.
					for range 3 {
						sim = sim.Restart(rnd)
						m.fs = sim
						sim.CutAt = rnd.IntN(8)
						if _, err = m.power(); err == nil {
							break
						}
					}
					sim = sim.Restart(rnd)
					m.fs = sim
					u = m.on()
					v := u.Status().Running.Version
					if v != "1.0" && v != "2.0" {
						t.Fatalf("cut at %d, seed %d: %+v runs", cut, seed, u.Status())
					}
					if confirms == bad {
						// It is never confirmed, so the old one runs at the next start, or the one
						// after that.
						for range 2 {
							u = m.on()
						}
						if v := u.Status().Running.Version; v != "1.0" {
							t.Fatalf("cut at %d, seed %d: %s runs", cut, seed, v)
						}
						continue
					}
					if u.Status().State == OnTrial {
						if err := u.Confirm(); err != nil {
							t.Fatal(err)
						}
					}
					if u.Status().Running.Version == "1.0" {
						if err := send(u, programTwo, sigTwo); errors.Is(err, ErrSignature) && m.devices == nil {
							err = send(u, programTwo, sigTwo) // the disk had spoilt the part that was there
							if err != nil {
								t.Fatal(err)
							}
						} else if err != nil {
							t.Fatalf("cut at %d, seed %d: sent again: %v", cut, seed, err)
						}
						u = m.on()
						if err := u.Confirm(); err != nil {
							t.Fatal(err)
						}
					}
					m.want(m.on(), Settled, "b", "2.0")
				}
				if over {
					break
				}
			}
		}
	})
}

// Each operation of the disk fails once, with what a full or broken disk says: the old program goes
// on, and the update that is sent again arrives.
func TestEachOperationOfTheDiskMayFailOnce(t *testing.T) {
	each(t, func(t *testing.T, newMachine newMachineFunc) {
		key := newSigner(t)
		sig := key.version(programTwo, "2.0")
		for _, errno := range []error{syscall.ENOSPC, syscall.EIO} {
			for at := 1; ; at++ {
				sim := disksim.New()
				m := newMachine(t, sim, "/box", key)
				sim.FailAt, sim.Fail = sim.Ops()+at, errno
				u := m.on()
				err := send(u, programTwo, sig)
				if err != nil {
					if !errors.Is(err, errno) {
						t.Fatalf("operation %d: %v", at, err)
					}
					if err := send(u, programTwo, sig); err != nil {
						t.Fatalf("operation %d failed, and then: %v", at, err)
					}
				}
				u, err = m.power()
				if err != nil || u.Status().State != OnTrial {
					// The trial could not be begun: it is told, and the old program runs.
					if u.Status().Running.Version != "1.0" {
						t.Fatalf("operation %d: %+v, %v", at, u.Status(), err)
					}
					if err := send(m.on(), programTwo, sig); err != nil {
						t.Fatalf("operation %d: %v", at, err)
					}
					u = m.on()
				}
				if u.Confirm() != nil {
					if err := u.Confirm(); err != nil {
						t.Fatalf("operation %d: %v", at, err)
					}
				}
				m.want(m.on(), Settled, "b", "2.0")
				if sim.Ops() < sim.FailAt {
					break
				}
			}
		}
	})
}

func TestVersions(t *testing.T) {
	order := []string{"", "0.9", "1.0-rc1", "1.0-rc2", "v1.0", "1.0.1", "1.9", "1.10", "2"}
	for i, a := range order {
		for j, b := range order {
			if newer(a, b) != (i > j) {
				t.Errorf("newer(%q, %q) is %v", a, b, i <= j)
			}
		}
	}
	if newer("1.0", "1") || newer("x", "y") || newer("x", "1") || !newer("1", "x") {
		t.Error("versions of other forms")
	}
}
