// The WebSocket to the device, which comes back by itself.

const firstWait = 500, longestWait = 15_000; // ms
const patience = 5_000; // ms without any message, beyond three sample intervals, before a link counts as dead

// A Link fires "up", "down" (detail: {wait} in ms until the next try) and "message" (detail: the parsed document).
export class Link extends EventTarget {
  #url;
  #socket = null;
  #failures = 0;
  #retry = 0;
  #watch = 0;
  #interval = 1000;

  constructor(url) {
    super();
    this.#url = url;
    addEventListener("online", () => this.retryNow());
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.retryNow();
    });
  }

  open() {
    clearTimeout(this.#retry);
    this.#retry = 0;
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    this.#alive(); // a host that is gone does not refuse either
    socket.addEventListener("open", () => {
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
    const doc = JSON.parse(text);
    this.#failures = 0; // a whole message, not just a handshake, shows that the device is well
    if (doc.interval) this.#interval = doc.interval;
    this.#alive();
    this.dispatchEvent(new CustomEvent("message", { detail: doc }));
  }

  // A cable that is pulled closes nothing: silence is the only sign of it.
  #alive() {
    clearTimeout(this.#watch);
    const socket = this.#socket;
    this.#watch = setTimeout(() => {
      if (this.#socket !== socket) return;
      socket.close();
      this.#lost();
    }, 3 * this.#interval + patience);
  }

  // Exponential backoff; the random half keeps many pages from coming back in the same instant.
  #lost() {
    clearTimeout(this.#watch);
    this.#socket = null;
    const ceiling = Math.min(longestWait, firstWait * 2 ** this.#failures++);
    const wait = ceiling * (0.5 + Math.random() / 2);
    this.#retry = setTimeout(() => this.open(), wait);
    this.dispatchEvent(new CustomEvent("down", { detail: { wait } }));
  }
}
