// The certificate of the device, and its authority.

import { el } from "./shared/dom.js";
import { rest } from "./api.js";
import { button, facts, failure, field, head, question, say, submit } from "./ui.js";
import { day, t } from "./words.js";

export async function show(section, { role }) {
  let status;
  try {
    status = await rest("GET", "/certificate");
  } catch (e) {
    if (e.status !== 404) throw e;
    section.replaceChildren(el("div", { class: "card" }, el("h2", {}, t("certificate")), el("p", { class: "note" }, t("certificate.off"))));
    return;
  }
  const again = () => show(section, { role });
  const own = status.active === "own", used = own ? status.own : status.uploaded;
  const { authority } = status;
  section.replaceChildren(el("div", { class: "grid" },
    el("article", { class: "card half" },
      head(t("certificate.used"), el("p", { class: "pill good" }, own ? t("certificate.own") : t("certificate.uploaded"))),
      ...(status.uploaded?.expired ? [el("p", { class: "note bad" }, t("certificate.expired", { day: day(status.uploaded.ends) }))] : []),
      el("dl", { class: "facts" }, ...about(used)), fingerprint(used.sha256),
      ...(role === "admin" && status.uploaded ? [el("p", { class: "buttons" }, button(t("certificate.back"), async () => {
        if (!await question(t("certificate.back.ask"), t("certificate.back"))) return;
        await rest("DELETE", "/certificate");
        await again();
      })), failure()] : [])),
    el("article", { class: "card half" }, el("h2", {}, t("authority")), el("p", { class: "note" }, t("authority.text")),
      el("dl", { class: "facts" }, ...facts([[t("name"), authority.name], [t("certificate.names"), (authority.names ?? []).join(", ")], [t("authority.networks"), (authority.networks ?? []).join(", ")]])),
      fingerprint(authority.sha256),
      el("p", { class: "buttons" }, el("a", { class: "button primary", href: "/certificate/ca.crt", download: "", id: "ca" }, t("authority.get"))))));
  if (role === "admin") section.firstChild.append(upload(again));
}

const about = (info) => facts([[t("certificate.names"), info.names.join(", ")], [t("certificate.issuer"), info.issuer],
  [t("certificate.from"), day(info.begins)], [t("certificate.until"), day(info.ends)]]);

const fingerprint = (sum) => el("p", { class: "note muted" }, t("fingerprint"), el("code", { class: "secret", translate: "no" }, sum));

// upload makes the form for another certificate.
function upload(again) {
  const done = el("p", { class: "note", role: "status" });
  const force = el("div", { class: "field check" }, el("input", { type: "checkbox", name: "force", id: "cert-force" }), el("label", { for: "cert-force" }, t("certificate.force")), el("p", { class: "note muted" }));
  const form = el("form", { id: "certificate-form", class: "card full" }, el("h2", {}, t("certificate.other")), el("p", { class: "note muted" }, t("certificate.other.text")),
    el("div", { class: "fields" },
      field(t("certificate.file"), el("input", { id: "cert-file", name: "certificate", type: "file", accept: ".pem,.crt,.cer", required: "" }), t("certificate.file.help")),
      field(t("certificate.key"), el("input", { id: "cert-key", name: "key", type: "file", accept: ".pem,.key", required: "" }), t("certificate.key.help"))),
    force, failure(), done, el("p", { class: "buttons" }, el("button", { class: "button" }, t("certificate.send"))));
  return submit(form, async ({ certificate, key, force }) => {
    say(done, "");
    await rest("POST", "/certificate", { certificate: await certificate.text(), key: await key.text(), force: force === "on" });
    await again();
  }, ({ code }) => /^(key|certificate)/.exec(code)?.[0] ?? "");
}
