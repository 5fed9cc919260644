// A list of lines that follows the newest one until the reader scrolls up.

import { setText } from "./dom.js";

export class Pane {
  #list;
  #latest;
  #most;
  #following = true;
  #unseen = 0;

  // list is the element that scrolls, latest the button that leads back to its end. It keeps `most` lines.
  constructor(list, latest, most) {
    this.#list = list;
    this.#latest = latest;
    this.#most = most;
    list.addEventListener("scroll", () => this.#scrolled());
    latest.addEventListener("click", () => {
      this.#follow();
      list.focus();
    });
    new ResizeObserver(() => { // a phone was turned: the lines are broken anew
      if (this.#following) this.#follow();
    }).observe(list);
  }

  append(rows) {
    const list = this.#list;
    list.append(...rows.slice(-this.#most));
    while (list.children.length > this.#most) list.firstElementChild.remove();
    if (this.#following) {
      list.scrollTop = list.scrollHeight;
      return;
    }
    this.#unseen += rows.length;
    setText(this.#latest, this.#unseen === 1 ? "1 new line ↓" : `${this.#unseen} new lines ↓`);
  }

  clear() {
    this.#list.replaceChildren();
    this.#follow();
  }

  #follow() {
    this.#following = true;
    this.#unseen = 0;
    this.#latest.hidden = true;
    this.#list.scrollTop = this.#list.scrollHeight;
  }

  #scrolled() {
    const { scrollHeight, clientHeight, scrollTop } = this.#list;
    const atEnd = scrollHeight - clientHeight - scrollTop < 8;
    if (atEnd === this.#following) return;
    if (atEnd) {
      this.#follow();
      return;
    }
    this.#following = false;
    setText(this.#latest, "Newest lines ↓");
    this.#latest.hidden = false;
  }
}
