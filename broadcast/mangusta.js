// Subscribes a page to a hub of mangusta (package broadcast) through a Door.
//
//   import { connect } from "./mangusta.js";
//   const hub = connect("/hub");
//   hub.subscribe("sensors/+/temperature", ({ topic, data }) => console.log(topic, data));
//   hub.addEventListener("missed", ({ detail }) => console.log(detail.missed, "are missing"));
//
// The link comes back by itself, by WebSocket or, where that is blocked, by EventSource, and goes on
// after the last message that came. docs/browser.md describes the functions and the protocol,
// mangusta.d.ts has the types.

const firstWait = 500, longestWait = 15_000; // ms between two tries, at most
const stable = 10_000; // ms after which a link counts as good
const handshake = 10_000; // ms that a try may take
const quietEvents = 45_000; // ms: a stream of events is sent something every 20 s

const closeToken = 4401, closeRestart = 1012, closeLater = 1013; // Close codes

export function connect(url, options) {
  return new Hub(url, options);
}

export class Hub extends EventTarget {
  #url;
  #options;
  #subs = new Set();
  #link = null; // the transport that is open or about to be; what an earlier one says is not heard
  #up = false;
  #closed = true;
  #life = null; // ends the listeners to the page
  #sse = false; // the link is an EventSource
  #last; // offset up to which the settled subscriptions have everything; undefined: nothing yet
  #asked = new Set(); // patterns that the server has heard of on this link
  // What the server was asked for and will say "live" for: subs, and those that joined them later.
  #batches = [];
  #failures = 0;
  #refusals = 0; // of the token, one after the other
  #timer = 0; // until the next try
  #watch = 0; // for silence
  #stable = 0;
  #renewal = 0;
  #number = 0;
  #replies = new Map(); // by number: [resolve, reject]
  #changed = false; // an EventSource is about to be opened again, for other patterns
  #bases = new Map(); // by topic: the object that the server makes patches against
  #slowed = false; // the server was asked for fewer messages
  #late = new Set(); // newcomers to patterns that are known; the server will be asked for what it retains

  constructor(url, options = {}) {
    super();
    this.#url = new URL(url, location.href);
    this.#options = { silence: 20_000, answer: 10_000, ...options };
    // A little later, with all that the page subscribes to at once.
    if (options.open !== false) queueMicrotask(() => this.#life || this.open());
  }

  // isUp tells whether messages come.
  get isUp() {
    return this.#up;
  }

  // transport is "websocket", "eventsource", or "" while there is none.
  get transport() {
    return this.#up ? (this.#sse ? "eventsource" : "websocket") : "";
  }

  // open begins, or begins anew.
  open() {
    this.#drop();
    this.#closed = false;
    this.#watchPage();
    this.#try(false);
  }

  // close ends the link until the next open.
  close() {
    this.#closed = true;
    this.#life?.abort();
    this.#drop();
  }

  // retryNow ends a wait between two tries.
  retryNow() {
    if (this.#timer) this.open();
  }

  // subscribe gives handler each message of the pattern. Without since it begins now, with the last
  // message of each topic that the hub retains; since: 0 asks for all that is kept, since: offset
  // for what came after that.
  subscribe(pattern, handler, { since } = {}) {
    const levels = pattern.split("/");
    // settled: it has all up to #last. Until then since is its own offset, seen what came after it.
    // greeted: what the hub retains has come, or is not asked for; until then older messages may come.
    const sub = { pattern, levels, handler, since, settled: false, greeted: since !== undefined, seen: new Set() };
    this.#subs.add(sub);
    this.#ask([sub]);
    return { pattern, close: () => this.#unsubscribe(sub) };
  }

  // publish sends data: bytes as they are, anything else as JSON. The promise has the receipt,
  // {offset, subscribers}.
  async publish(topic, data) {
    const bytes = data instanceof ArrayBuffer ? new Uint8Array(data)
      : ArrayBuffer.isView(data) ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength) : null;
    const json = bytes ? "" : JSON.stringify(data);
    if (json === undefined) throw new TypeError("there is no JSON of this");
    if (!this.#up) throw new Error("the link is down");
    if (this.#sse) return this.#post(topic, bytes ?? json);
    const id = ++this.#number;
    const head = `"publish":${JSON.stringify(topic)},"id":${id}`;
    const reply = new Promise((...both) => this.#replies.set(id, both));
    this.#link.send(bytes ? frame(`{${head}}\n`, bytes) : `{${head},"data":${json}}`);
    return reply;
  }

  async #post(topic, body) {
    const token = await this.#token();
    const reply = await fetch(this.#address([["topic", topic]]), {
      method: "POST", body, headers: token ? { Authorization: `Bearer ${token}` } : {},
    });
    const doc = await reply.json();
    if (!reply.ok) throw new Error(doc.error);
    return doc;
  }

  #fire(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  async #token() {
    return this.#options.token?.();
  }

  #address(pairs) {
    const url = new URL(this.#url);
    for (const [name, value] of pairs) url.searchParams.append(name, value);
    return url;
  }

  // The link

  // try opens a WebSocket, or, with events, a stream of events at once.
  async #try(events) {
    const link = { send: () => false, close() {} };
    this.#link = link;
    this.#sse = this.#changed = this.#slowed = false;
    this.#late.clear();
    this.#batches = [];
    this.#asked.clear();
    this.#bases.clear();
    this.#alarm(handshake);
    let token;
    try {
      token = await this.#token();
    } catch (err) {
      if (this.#link === link) this.#lost(`the token: ${err.message}`);
      return;
    }
    if (this.#link !== link) return;
    if (events) this.#openEvents(link, this.#eventsAddress(token));
    else this.#openSocket(link, token);
  }

  #openSocket(link, token) {
    const url = new URL(this.#url);
    url.protocol = url.protocol.replace("http", "ws");
    const socket = new WebSocket(url);
    socket.binaryType = "arraybuffer";
    let opened = false;
    link.close = () => socket.close();
    link.late = () => this.#fallBack(link, token, "the WebSocket does not open");
    const mine = () => this.#link === link;
    socket.onopen = () => {
      if (!mine()) return;
      opened = true;
      link.late = null;
      link.send = (text) => socket.send(text);
      this.#alarm(handshake);
      if (token !== undefined) socket.send(JSON.stringify({ token }));
      this.#send([...this.#subs]);
      this.#slowSocket();
    };
    socket.onmessage = ({ data }) => mine() && this.#receive(data);
    socket.onclose = ({ code, reason }) => {
      if (!mine()) return;
      if (code === closeToken) this.#refused(reason);
      else if (opened) this.#lost(reason || `closed with ${code}`, code);
      else this.#fallBack(link, token, "the WebSocket is refused");
    };
  }

  // fallBack asks whether the server is there at all. If so, something on the way blocks WebSockets.
  async #fallBack(link, token, why) {
    link.close();
    link.late = null;
    this.#alarm(handshake);
    const url = this.#eventsAddress(token);
    let status;
    try {
      status = (await fetch(url, { method: "HEAD", cache: "no-store" })).status;
    } catch {
      status = 0;
    }
    if (this.#link !== link) return;
    if (status === 401 || status === 403) this.#refused(`status ${status}`);
    else if (status !== 200 || this.#subs.size === 0) this.#lost(status ? `${why}: status ${status}` : "no answer");
    else this.#openEvents(link, url);
  }

  #openEvents(link, url) {
    this.#sse = true;
    const source = new EventSource(url);
    const hear = ({ data }) => this.#link === link && this.#receive(data);
    link.close = () => source.close();
    this.#batches = [{ subs: [...this.#subs], joined: [] }];
    for (const { pattern } of this.#subs) this.#asked.add(pattern);
    this.#slowed = url.searchParams.has("interval");
    this.#alarm(handshake);
    source.onmessage = hear;
    for (const type of ["missed", "deleted", "expired", "live"]) source.addEventListener(type, hear);
    source.onerror = () => this.#link === link && this.#lost("the stream of events has ended");
  }

  #eventsAddress(token) {
    const { wishes, latest } = this.#wishes(this.#subs);
    const pairs = [...wishes].flatMap(([pattern, since]) => [["topic", pattern], ["since", since ?? ""]]);
    for (const pattern of latest) pairs.push(["latest", pattern]);
    if (this.#quiet()) pairs.push(["interval", this.#options.hiddenInterval]);
    if (token !== undefined) pairs.push(["access_token", token]);
    return this.#address(pairs);
  }

  // lost waits for the next try: for a random part of a time that doubles, so that many pages do not
  // come back in the same instant.
  #lost(reason, code) {
    this.#drop();
    let wait = Math.random() * Math.min(longestWait, firstWait * 2 ** this.#failures++);
    if (code === closeRestart) wait = Math.random() * 5000; // it will be there, and all come back
    if (code === closeLater) wait = 5000 + Math.random() * 10_000; // it has too much to do
    this.#timer = setTimeout(() => this.open(), wait);
    this.#fire("down", { wait, reason, code });
  }

  // refused is about the token: another may do, once.
  #refused(reason) {
    if (this.#options.token && this.#refusals++ === 0) {
      this.#drop();
      this.#try(false);
      return;
    }
    if (this.#options.token) {
      this.#lost(reason, closeToken);
    } else {
      this.close();
    }
    this.#fire("denied", { reason });
  }

  // drop forgets the link.
  #drop() {
    for (const timer of [this.#timer, this.#watch, this.#stable, this.#renewal]) clearTimeout(timer);
    this.#timer = 0;
    const link = this.#link;
    this.#link = null;
    this.#up = false;
    link?.close();
    for (const [, reject] of this.#replies.values()) reject(new Error("the link went down before the reply"));
    this.#replies.clear();
  }

  // A cable that is pulled closes nothing: silence is the only sign of it. The alarm asks first, and
  // then gives up. A timer that comes late was held up, and so were the messages.
  #alarm(ms, then = () => this.#silent()) {
    clearTimeout(this.#watch);
    const due = performance.now() + ms;
    this.#watch = setTimeout(() => (performance.now() - due > 1000 ? this.#alarm(ms, then) : then()), ms);
  }

  #silent() {
    if (this.#link?.late) this.#link.late();
    else this.#lost("silence");
  }

  #alive() {
    if (this.#sse) return this.#alarm(quietEvents);
    this.#alarm(this.#options.silence, () => {
      this.#link.send('{"ping":true}');
      this.#alarm(this.#options.answer);
    });
  }

  #watchPage() {
    if (this.#life && !this.#life.signal.aborted) return;
    this.#life = new AbortController();
    const { signal } = this.#life;
    addEventListener("online", () => this.retryNow(), { signal });
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.retryNow();
      this.#slow();
    }, { signal });
    // A page that the browser keeps for its back button has no link.
    addEventListener("pagehide", () => this.#drop(), { signal });
    addEventListener("pageshow", ({ persisted }) => persisted && this.open(), { signal });
  }

  // quiet tells whether the page wants fewer messages, since nobody looks.
  #quiet() {
    return this.#options.hiddenInterval > 0 && document.hidden;
  }

  // slow asks for fewer messages, or for all again. A stream of events is opened again for that.
  #slow() {
    if (!this.#link || this.#slowed === this.#quiet()) return;
    if (!this.#sse) this.#slowSocket();
    else if (this.#up) this.#reopen();
  }

  #slowSocket() {
    const quiet = this.#quiet();
    if (quiet === this.#slowed) return;
    if (this.#link.send(`{"interval":${quiet ? this.#options.hiddenInterval : 0}}`) !== false) this.#slowed = quiet;
  }

  // Subscriptions

  // sinceOf returns the offset to go on from.
  #sinceOf(sub) {
    return sub.settled ? this.#last : sub.since;
  }

  // wishes says what subs need: by pattern the offset to go on from, null for newcomers, and the
  // patterns of which the server has to send the latest messages, too. Where several have one
  // pattern the server has it once, from the lowest offset on.
  #wishes(subs) {
    const wishes = new Map(), latest = new Set();
    for (const s of subs) {
      const since = this.#sinceOf(s) ?? null, other = wishes.get(s.pattern) ?? null;
      wishes.set(s.pattern, since === null || other === null ? (since ?? other) : Math.min(since, other));
    }
    for (const s of subs) if (!s.greeted && wishes.get(s.pattern)) latest.add(s.pattern);
    return { wishes, latest: [...latest] };
  }

  // send subscribes on a WebSocket, anew to what it has already.
  #send(subs) {
    const { wishes, latest } = this.#wishes(subs);
    const again = [...wishes.keys()].filter((p) => this.#asked.has(p));
    for (const p of wishes.keys()) this.#asked.add(p);
    this.#batches.push({ subs, joined: [] });
    const { delta } = this.#options;
    this.#link.send(JSON.stringify({ delta, unsubscribe: again, subscribe: Object.fromEntries(wishes), latest }));
  }

  #ask(subs) {
    if (!this.#up) return; // they go out when it is
    const fresh = subs.filter((s) => s.since !== undefined || !this.#join(s));
    if (fresh.length === 0) return;
    // A connection is sent each message once. So that a history may have what others have had, all
    // begin anew, each after what it has.
    if (this.#sse) this.#reopen();
    else this.#send(fresh.some((s) => s.since !== undefined) ? [...this.#subs] : fresh);
  }

  // join has a newcomer get what comes for another of its pattern, if there is one, and asks for
  // what the hub retains of it.
  #join(sub) {
    if (!this.#asked.has(sub.pattern)) return false;
    const batch = this.#batches.find(({ subs }) => subs.some((s) => s.pattern === sub.pattern));
    if (batch) batch.joined.push(sub);
    else sub.settled = true;
    if (this.#late.size === 0) queueMicrotask(() => this.#askLate());
    this.#late.add(sub);
    return true;
  }

  // askLate asks for what the hub retains, once for all newcomers of this moment.
  #askLate() {
    const subs = [...this.#late].filter((s) => this.#subs.has(s) && !s.greeted);
    this.#late.clear();
    if (!this.#up || subs.length === 0) return; // else the next link asks
    if (this.#sse) return this.#reopen();
    this.#batches.push({ subs, joined: [] });
    this.#link.send(JSON.stringify({ subscribe: {}, latest: [...new Set(subs.map((s) => s.pattern))] }));
  }

  // reopen opens a stream of events with other patterns, once for all that change now.
  #reopen() {
    if (this.#changed) return;
    this.#changed = true;
    const link = this.#link;
    queueMicrotask(() => {
      if (this.#link !== link) return;
      this.#drop();
      this.#try(true);
    });
  }

  #unsubscribe(sub) {
    if (!this.#subs.delete(sub) || !this.#asked.has(sub.pattern)) return;
    if ([...this.#subs].some((s) => s.pattern === sub.pattern)) return;
    this.#asked.delete(sub.pattern);
    if (!this.#sse) this.#link?.send(JSON.stringify({ unsubscribe: [sub.pattern] }));
    else if (this.#up) this.#reopen();
  }

  // Messages

  #receive(raw) {
    this.#alive();
    const [doc, bytes] = typeof raw === "string" ? [JSON.parse(raw)] : unframe(raw);
    // Above 2^53 one number stands for several: nobody knows then which messages have come.
    if (!Number.isSafeInteger(doc.offset ?? doc.live ?? doc.pong ?? 0)) return this.#lost("an offset that is no exact number");
    if (doc.topic !== undefined) this.#message(doc, bytes);
    else if (doc.missed !== undefined) this.#missed(doc);
    else if (doc.live !== undefined) this.#live(doc.live);
    else if (doc.pong) this.#advance(doc.pong);
    else if (doc.reply !== undefined) this.#reply(doc);
    else if (doc.refused !== undefined) this.#forbidden(doc.refused, doc.error);
    else if (doc.expired) for (const p of doc.expired) this.#forbidden(p, "the rights have expired");
    else if (doc.token) this.#renewLater(doc.token);
  }

  #message(doc, bytes) {
    const data = bytes ?? (doc.patch ? this.#patched(doc) : doc.base64 ? fromBase64(doc.base64) : doc.data);
    if (doc.patch && !data) return;
    // The page may change what it gets: patches are for what the server has.
    if (doc.deleted) this.#bases.delete(doc.topic);
    else if (this.#options.delta) this.#bases.set(doc.topic, structuredClone(data));
    const { offset } = doc, message = { topic: doc.topic, offset, data, deleted: doc.deleted === true };
    const topic = doc.topic.split("/");
    const subs = [...this.#subs].filter((s) => matches(s.levels, topic));
    const settled = subs.some((s) => s.settled), last = this.#last;
    const news = subs.filter((s) => {
      if (!offset) return true; // to this connection alone
      if (s.settled && s.greeted) return !(offset <= last);
      if (offset <= s.since || s.seen.has(offset)) return false;
      s.seen.add(offset);
      // The history of a subscription comes in order, but what others have live may overtake it.
      if (!settled && s.since !== undefined) s.since = offset;
      return true;
    });
    if (settled) this.#advance(offset);
    for (const s of news) {
      try {
        s.handler?.(message);
      } catch (err) {
        reportError(err);
      }
    }
    if (news.length) this.#fire("message", message);
  }

  // patched returns the new value of a topic. Without the old one the page begins anew.
  #patched({ topic, patch }) {
    const base = this.#bases.get(topic);
    if (base) return merge(base, patch);
    this.#options.delta = true; // the hub makes patches for all: the next time the old values are kept
    this.#lost("a patch without what it is for");
  }

  #advance(offset) {
    if (this.#last === undefined || offset > this.#last) this.#last = offset;
  }

  #missed({ missed, reset = false }) {
    if (reset) {
      this.#last = 0; // what it knows comes now
      for (const s of this.#subs) {
        s.seen.clear();
        if (s.since !== undefined) s.since = 0;
      }
    }
    this.#fire("missed", { missed, reset });
    if (reset) this.#fire("reset", { missed });
  }

  // live says that the history of the first batch has come, and that all is here up to the offset.
  #live(offset) {
    const { subs, joined } = this.#batches.shift() ?? { subs: [], joined: [] };
    for (const s of subs) {
      s.settled = s.greeted = true;
      s.seen.clear();
    }
    for (const s of joined) s.settled = true;
    this.#advance(offset);
    if (this.#up) return;
    this.#up = true;
    this.#refusals = 0;
    this.#stable = setTimeout(() => (this.#failures = 0), stable);
    this.#fire("up", { transport: this.transport });
    this.#ask([...this.#subs].filter((s) => !s.settled)); // those that came while it was coming up
    this.#slow();
  }

  #reply({ reply, error, ...receipt }) {
    const [resolve, reject] = this.#replies.get(reply) ?? [];
    this.#replies.delete(reply);
    if (error === undefined) resolve?.(receipt);
    else reject?.(new Error(error));
  }

  #forbidden(pattern, error) {
    for (const s of this.#subs) if (s.pattern === pattern) this.#subs.delete(s);
    this.#asked.delete(pattern);
    this.#fire("refused", { pattern, error });
  }

  // renewLater sends another token before this one expires.
  #renewLater({ expires }) {
    clearTimeout(this.#renewal);
    if (!expires || !this.#options.token) return;
    const link = this.#link;
    this.#renewal = setTimeout(async () => {
      try {
        const token = await this.#token();
        if (this.#link === link) link.send(JSON.stringify({ token }));
      } catch {
        // The server ends the link when the old one expires, and the next try asks again.
      }
    }, Math.min(expires * 0.8, 2 ** 31 - 1));
  }
}

// matches tells whether a topic has the pattern, both as levels (MQTT 5.0 §4.7).
function matches(pattern, topic) {
  if (topic[0].startsWith("$") && /^[+#]/.test(pattern[0])) return false;
  for (let i = 0; i < pattern.length; i++) {
    if (pattern[i] === "#") return true;
    if (i >= topic.length || (pattern[i] !== "+" && pattern[i] !== topic[i])) return false;
  }
  return pattern.length === topic.length;
}

// merge applies a JSON merge patch (RFC 7396) to a copy.
function merge(old, patch) {
  if (!isObject(patch)) return patch;
  const members = new Map(isObject(old) ? Object.entries(old) : []);
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) members.delete(name);
    else members.set(name, merge(members.get(name), value));
  }
  return Object.fromEntries(members); // "__proto__" is a name like others
}

function isObject(x) {
  return typeof x === "object" && x !== null && !Array.isArray(x);
}

// A binary message is a line of JSON, and the data after it.
function frame(head, bytes) {
  const line = new TextEncoder().encode(head), all = new Uint8Array(line.length + bytes.length);
  all.set(line);
  all.set(bytes, line.length);
  return all;
}

function unframe(buffer) {
  const all = new Uint8Array(buffer), end = all.indexOf(10);
  return [JSON.parse(new TextDecoder().decode(all.subarray(0, end))), all.subarray(end + 1)];
}

function fromBase64(text) {
  return Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
}
