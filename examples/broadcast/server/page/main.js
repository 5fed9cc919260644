// Wires the parts together. One link brings the figures (/live, see stats.go), another the messages
// (tail.js).

import { connect } from "./mangusta.js";
import { showLink } from "./shared/frame.js";
import * as access from "./access.js";
import * as publish from "./publish.js";
import * as tail from "./tail.js";
import * as view from "./view.js";

const link = connect("live", { silence: 4_000, answer: 4_000, open: false }); // figures come each second
link.subscribe("figures", ({ data }) => view.show(data));
showLink(link, "the server", (up) => {
  publish.enable(up);
  if (!up) {
    tail.stop(); // it would take longer to notice: messages may be rare
    return;
  }
  tail.goOn();
  if (link.transport === "websocket") access.hint(""); // where it had to give way to events, publishing may not work either
});
link.addEventListener("denied", () => access.check(() => setTimeout(() => link.open(), 1_000), close));
document.addEventListener("visibilitychange", view.draw);

function close() {
  link.close();
  tail.stop();
  publish.enable(false);
}

access.check(() => link.open(), close);
