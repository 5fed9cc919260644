// Package owner controls access to a device: first by its owner, then by the users that the owner
// adds.
//
// A new device has no password. Until it is set up, it can be read over a loopback address, and
// nothing else can be done but the setup. The person who sets it up becomes its owner. The setup
// takes the one-time code, which the device prints on its console or log, and a TLS connection from
// the same network that no proxy has passed on.
//
//	o, err := owner.New(m, owner.Options{File: "/var/lib/box/users.json"})
//	o.Mount(x, "/owner")
//	dev, err := device.New(m, defaults, device.Options{Who: o.Who("settings"), Opened: o.Opened("settings")})
//	up.Mount(x, "/update", o.Allow(device.Viewer, "update"), o.Allow(device.Admin, "update"))
//	x.MustHandle("GET /hub", o.Door(hub, "hub", owner.Topics{device.Viewer: {"state"}}))
//
// # Passwords, sessions, tokens
//
// Passwords are kept as argon2id digests, which one worker computes, so that logins take no more
// than one processor and Options.Memory. Failures are slowed down for each address, which gets 12
// attempts an hour after the first ones, and for each name, which gets 120 an hour however many
// addresses they come from. The local link, and networks from which the user is logged in, do not
// wait for attempts from elsewhere.
//
// A login makes a session, in place of the one that the browser has. Its cookie is for this host
// only, not for scripts and not for requests from other sites. It ends after a time, at logout, when
// it is revoked, and with each change of the password. Programs use tokens (Authorization: Bearer),
// which have a role, scopes and an end; they make neither tokens nor users. A change of the password
// does not end the tokens. The device keeps only the digests of sessions and tokens.
//
// Scopes are names that the program chooses, such as "settings" and "update". A token with scopes
// is valid for these only. A session has all scopes.
//
// With device.Options.Opened, WebSockets end with the session or the token by which they were
// opened. So do those of a Door, whose clients may subscribe to the topics of their role.
//
// # Requests from pages
//
// A request with a session that comes from a page of another origin is refused, by Sec-Fetch-Site
// and Origin; bodies are JSON, which such a page cannot send. WebSockets check the Origin
// themselves. Against DNS rebinding, name the hosts in http.Options.Hosts.
package owner
