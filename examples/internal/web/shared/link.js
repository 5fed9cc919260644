// A WebSocket that comes back by itself.

const firstWait = 500, longestWait = 15_000; // ms

// A Link fires "up", "down" (detail: {wait} in ms until the next try) and "message" (detail: the parsed document).
export class Link extends EventTarget {
  // patience is how long the link may be silent, in ms, before it counts as dead. A handler of "message" may change it.
  patience;
  #url;
  #socket = null;
  #failures = 0;
  #retry = 0;
  #watch = 0;

  // url() is the path and the query to connect to, asked for at each try: it may tell what the page has already.
  constructor(url, patience = Infinity) {
    super();
    this.#url = url;
    this.patience = patience;
    addEventListener("online", () => this.retryNow());
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.retryNow();
    });
  }

  open() {
    this.close();
    const socket = new WebSocket(new URL(this.#url(), location.href.replace(/^http/, "ws")));
    this.#socket = socket;
    this.#alive(); // a host that is gone does not refuse either
    socket.addEventListener("open", () => {
      if (this.#socket !== socket) return;
      this.#alive();
      this.dispatchEvent(new Event("up"));
    });
    socket.addEventListener("message", (e) => {
      if (this.#socket === socket) this.#receive(e.data);
    });
    socket.addEventListener("close", () => {
      if (this.#socket === socket) this.#lost();
    });
  }

  // close ends the link until the next open, and fires nothing.
  close() {
    clearTimeout(this.#retry);
    clearTimeout(this.#watch);
    this.#retry = 0;
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  }

  // send reports whether the document is on its way.
  send(doc) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify(doc));
    return true;
  }

  // retryNow ends a wait between two tries.
  retryNow() {
    if (this.#retry) this.open();
  }

  #receive(text) {
    this.#failures = 0; // a whole message, not just a handshake, shows that the other side is well
    this.dispatchEvent(new CustomEvent("message", { detail: JSON.parse(text) }));
    this.#alive();
  }

  // A cable that is pulled closes nothing: silence is the only sign of it.
  #alive() {
    clearTimeout(this.#watch);
    if (this.patience === Infinity || !this.#socket) return;
    this.#watch = setTimeout(() => this.#lost(), this.patience);
  }

  // Exponential backoff; the random half keeps many pages from coming back in the same instant.
  #lost() {
    this.close();
    const ceiling = Math.min(longestWait, firstWait * 2 ** this.#failures++);
    const wait = ceiling * (0.5 + Math.random() / 2);
    this.#retry = setTimeout(() => this.open(), wait);
    this.dispatchEvent(new CustomEvent("down", { detail: { wait } }));
  }
}
