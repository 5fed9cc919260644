// A list of lines that follows the newest one until the reader scrolls up.

import { setText } from "./dom.js";

const english = {
  newest: "Newest lines ↓",
  unseen: (n) => n === 1 ? "1 new line ↓" : `${n} new lines ↓`,
};

export class Pane {
  #list;
  #latest;
  #most;
  #following = true;
  #unseen = 0;
  #words;

  // list is the element that scrolls, latest the button that leads back to its end. It keeps `most` lines. words are for a page in
  // another language.
  constructor(list, latest, most, words = english) {
    this.#words = words;
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
    setText(this.#latest, this.#words.unseen(this.#unseen));
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
    setText(this.#latest, this.#words.newest);
    this.#latest.hidden = false;
  }
}
