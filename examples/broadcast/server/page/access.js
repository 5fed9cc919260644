// The token. The server gives a browser that has shown it a cookie; the page does not keep it.

import { $, setText } from "./shared/dom.js";

let enter = () => {};

// check asks the server whether this browser is let in, and calls yes, or shows the form for the token and calls no. Of a server that
// is not there the link tells more.
export async function check(yes, no) {
  enter = yes;
  let allowed, host;
  try {
    ({ allowed, host } = await (await fetch("login", { cache: "no-store" })).json());
  } catch {
    yes();
    return;
  }
  if (allowed) {
    $("login-section").hidden = true;
    if (host !== location.host) {
      hint(`A proxy tells the server that this page is ${host}, and it is ${location.host}: the server lets it in with -origin ${location.origin}, or when the proxy passes the Host on.`);
    }
    yes();
    return;
  }
  no();
  $("status").dataset.link = "down";
  setText($("status-text"), "Locked");
  $("banner").hidden = true;
  $("login-section").hidden = false;
}

// hint says what may be the matter with the link.
export function hint(text) {
  setText($("hint"), text);
}

$("login").addEventListener("submit", async (e) => {
  e.preventDefault();
  const field = $("token");
  try {
    const reply = await fetch("login", { method: "POST", headers: { Authorization: `Bearer ${field.value.trim()}` } });
    if (!reply.ok) throw new Error((await reply.json()).error);
    field.value = "";
    setText($("login-note"), "");
    $("login-section").hidden = true;
    enter();
  } catch (err) {
    setText($("login-note"), `Not let in: ${err.message}`);
  }
});
