// Wires the parts together. One link brings the figures (GET /live, see stats.go), another the messages (tail.js).

import { showLink } from "./shared/frame.js";
import { Link } from "./shared/link.js";
import * as publish from "./publish.js";
import * as tail from "./tail.js";
import * as view from "./view.js";

const silence = 8_000; // ms: figures come each second

const link = new Link(() => "live", silence);
showLink(link, "the server", (up) => {
  publish.enable(up);
  if (!up) tail.stop(); // it would not notice by itself: messages may be rare
});
link.addEventListener("message", ({ detail: figures }) => {
  view.show(figures);
  publish.needToken(figures.settings.token);
  tail.goOn(figures.hub.offset);
});
document.addEventListener("visibilitychange", view.draw);
link.open();
