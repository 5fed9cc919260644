// The npm package ws as a peer of mangusta's tests:
//   node peer.js client URL MODE LARGEST    has the conversation with a server, and exits 0 when all went well
//   node peer.js server MODE                prints its port, and serves conversations until it is ended
"use strict";
const { once } = require("node:events");
const assert = require("node:assert");
const { WebSocket, WebSocketServer } = require("ws");

const fragments = ["first, ", "second, ", "κόσμ", "ε"];
const maxPayload = 32 << 20;
// deflate is what MODE asks for: see ours_test.go.
function deflate(mode) {
	if (mode === "plain") return false;
	const alone = mode !== "takeover";
	const options = { threshold: 64, serverNoContextTakeover: alone, clientNoContextTakeover: alone };
	if (mode === "window") Object.assign(options, { serverMaxWindowBits: 9, clientMaxWindowBits: 9 });
	return options;
}

function serve(mode) {
	const server = new WebSocketServer({ port: 0, host: "127.0.0.1", perMessageDeflate: deflate(mode), maxPayload });
	server.on("listening", () => console.log(server.address().port));
	server.on("connection", (socket) => {
		socket.on("pong", () => socket.send("ponged"));
		socket.on("message", (data, binary) => {
			switch (data.length < 100 ? data.toString() : "") {
			case "close me":
				socket.close(4002, "enough");
				break;
			case "ping me":
				socket.ping("are you there?");
				break;
			case "fragment me":
				fragments.forEach((p, i) => socket.send(p, { fin: i === fragments.length - 1 }));
				break;
			default:
				socket.send(data, { binary });
			}
		});
	});
}

async function open(url, mode) {
	const socket = new WebSocket(url, { perMessageDeflate: deflate(mode), maxPayload });
	await once(socket, "open");
	assert.strictEqual(socket.extensions, mode === "plain" ? "" : "permessage-deflate");
	return socket;
}

// text and noise make n bytes that compress well, and badly.
const unit = Buffer.from("Grüße an κόσμε, 日本語 und 😀. ");
const text = (n) => unit.toString().repeat(Math.floor(n / unit.length)) + "x".repeat(n % unit.length);
function noise(n) {
	const b = Buffer.alloc(n);
	for (let i = 0, x = n | 1; i < n; i++) {
		x ^= x << 13;
		x ^= x >>> 17;
		x ^= x << 5;
		b[i] = x;
	}
	return b;
}

async function echoes(socket, ...parts) {
	const binary = parts[0] instanceof Buffer;
	parts.forEach((p, i) => socket.send(p, { binary, fin: i === parts.length - 1 }));
	const [data, isBinary] = await once(socket, "message");
	assert.strictEqual(isBinary, binary);
	assert.ok(data.equals(Buffer.concat(parts.map((p) => Buffer.from(p)))), `the echo of ${parts.length} parts has ${data.length} bytes`);
}

async function converse(url, mode, largest) {
	let socket = await open(url, mode);
	for (const n of [0, 1, 125, 126, 127, 1000, 65535, 65536, 1 << 20, 16 << 20]) {
		if (n > largest) continue;
		await echoes(socket, text(n));
		await echoes(socket, noise(n));
	}
	await echoes(socket, "one ", "", "two ", "κόσ", "με");
	await echoes(socket, noise(70000), noise(3), noise(100000));
	for (let i = 0; i < 100; i++) await echoes(socket, '{"id":1,"name":"small and often","ok":true}');

	socket.ping("p");
	assert.strictEqual((await once(socket, "pong"))[0].toString(), "p");
	socket.send("ping me");
	assert.strictEqual((await once(socket, "message"))[0].toString(), "ponged");
	socket.send("fragment me");
	assert.strictEqual((await once(socket, "message"))[0].toString(), fragments.join(""));

	const closed = async () => {
		const [code, reason] = await once(socket, "close");
		return `${code} ${reason}`;
	};
	socket.send("close me");
	assert.strictEqual(await closed(), "4002 enough");
	for (const code of [1000, 1001, 3000, 4999]) {
		socket = await open(url, mode);
		await echoes(socket, "hello");
		socket.close(code, "bye");
		assert.strictEqual(await closed(), `${code} `);
	}
}

const [what, ...args] = process.argv.slice(2);
if (what === "server") serve(args[0]);
else converse(args[0], args[1], +args[2]).catch((e) => { console.error(e); process.exit(1); });
