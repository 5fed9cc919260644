// The page as a program of its own: it opens without the device, and is never older than the device.

import { $ } from "./shared/dom.js";

const worker = navigator.serviceWorker; // undefined without TLS

const quiet = 2000; // ms without a request, after which the old worker is taken to be idle

// The service worker keeps the page for the times without a device. Browsers refuse it where they do not trust the certificate.
worker?.register("sw.js").then((registration) => {
  registration.addEventListener("updatefound", () => hurry(registration.installing));
  hurry(registration.installing ?? registration.waiting);
}, () => {});

// hurry asks a new worker to take over while the page is quiet. Chromium has to stop the old worker for that. A request that comes
// meanwhile starts it anew, and only the first question after the installation makes Chromium stop it again.
function hurry(next) {
  let timer = 0;
  const requests = new PerformanceObserver(wait);
  function wait() {
    clearTimeout(timer);
    if (next.state.startsWith("install")) timer = setTimeout(ask, quiet);
    else requests.disconnect();
  }
  function ask() {
    if (next.state === "installed") next.postMessage("take over");
  }
  if (!next) return;
  next.addEventListener("statechange", wait);
  requests.observe({ type: "resource" });
  wait();
}

const mine = document.querySelector("meta[name=version]").content;

// checkVersion is called when the device replies. If the device has another version of the page, as after an update, it loads
// that; if mayLeave() says no, it offers to.
export async function checkVersion(mayLeave) {
  worker?.controller?.postMessage("up");
  const [first] = (await (await fetch("sw.js", { cache: "no-store" })).text()).split("\n", 1);
  if (first.includes(mine)) return;
  await (await worker?.getRegistration())?.update().catch(() => {});
  if (mayLeave() && !tried(first)) location.reload();
  else $("newer").hidden = false;
}

// tried reports whether this tab has loaded the page for that version already: once has to do.
function tried(version) {
  try {
    const before = sessionStorage.getItem("tried");
    sessionStorage.setItem("tried", version);
    return before === version;
  } catch {
    return true; // storage is blocked
  }
}

$("reload").addEventListener("click", () => location.reload());
