// Package update replaces the program of a device by a signed one, and goes back to the old one if
// the new one does not work.
//
// There are two slots, a and b, each an executable file in one directory, and a symbolic link that
// says which one is started:
//
//	/opt/box/a  a.minisig  b  b.minisig      the programs and their signatures
//	/opt/box/current -> a                    what systemd or init starts
//	/opt/box/incoming  incoming.minisig      an update that is being received
//	/opt/box/trial                           says that a slot is to be tried, or was
//	/opt/box/failed                          the version that was rolled back, if one was
//
// An update is received into the slot that is not started, checked while it comes, and tried once:
// the program in current marks the trial as begun and starts the other slot. If that one calls
// Confirm, the link is changed to it. If it does not, because it crashes, hangs or cannot be
// executed, the supervisor starts current again. The program there sees that the trial was begun
// and not confirmed, and goes on. At each moment current names a complete, signed program, even if
// the power is cut.
//
//	u, err := update.Boot(update.Options{Dir: "/opt/box", Keys: keys, Board: "box-2"})
//	… start; if all is well:
//	u.Confirm()
//	u.Mount(mux, "/update", mayRead, mayChange)
//
// Mount is for a person who uploads; Pull fetches updates from a server.
//
// # Partitions
//
// Slots may also be partitions, with an image of a file system each: see Partitions. They are
// tried and confirmed in the same way, but by a boot loader. The program in current tells the boot
// loader to start the other slot once, and restarts the device by Options.Reboot. If the program there
// ends without a call of Confirm and is started again, or at the deadline, it restarts the device too,
// and the boot loader starts current. If the program does not even start, something else has to
// restart the device, such as a watchdog. BootFile is a boot loader's state for scripts.
//
// While an update is received its slot has no program. At each moment whatever the boot loader may
// start is complete and signed, even if the power is cut.
//
// # Signatures
//
// Signatures are those of minisign (pre-hashed, as it makes them by default), and their trusted
// comment says what the program is for:
//
//	minisign -S -m box -t 'version=1.4.0 board=box-2'
//
// An update for another board is refused, and so is one that is not newer, unless the caller
// insists. The comment is signed too, so it is checked before a byte of the program is taken.
package update
