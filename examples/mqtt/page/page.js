import { connect } from "./mangusta.js";

const at = (id) => document.getElementById(id);
const status = at("status"), lamp = at("lamp"), values = at("values");
const rows = new Map(); // by topic

const hub = connect("hub");
hub.subscribe("sensors/#", show);
hub.subscribe("commands/lamp", ({ data }) => lamp.setAttribute("aria-pressed", data === "on"));
hub.subscribe("broker/away", ({ data }) => tell({ broker: data ? "away" : "here" }));
hub.addEventListener("up", () => tell({ link: "up" }));
hub.addEventListener("down", () => tell({ link: "down" }));
hub.addEventListener("reset", () => [...rows.keys()].forEach(forget)); // the program is another one

function show({ topic, data, deleted }) {
  if (deleted) return forget(topic);
  let row = rows.get(topic);
  if (!row) {
    row = document.createElement("tr");
    for (let i = 0; i < 3; i++) row.insertCell();
    row.cells[0].textContent = topic.slice("sensors/".length);
    rows.set(topic, row);
    values.append(row);
  }
  row.cells[1].textContent = data instanceof Uint8Array ? `${data.length} bytes` : typeof data === "string" ? data : JSON.stringify(data);
  row.cells[2].textContent = new Date().toLocaleTimeString();
  at("none").hidden = true;
}

function forget(topic) {
  rows.get(topic)?.remove();
  rows.delete(topic);
  at("none").hidden = rows.size > 0;
}

function tell(news) {
  Object.assign(status.dataset, news);
  const { link, broker } = status.dataset;
  lamp.disabled = link !== "up";
  status.textContent = link !== "up" ? "offline: this page comes back by itself" : broker === "away" ? "broker away: commands wait for it" : "live";
}

lamp.onclick = async () => {
  const command = lamp.getAttribute("aria-pressed") === "true" ? "off" : "on";
  // As bytes: a string would be published as JSON, with quotes.
  await hub.publish("commands/lamp", new TextEncoder().encode(command)).catch((err) => (status.textContent = err.message));
};
