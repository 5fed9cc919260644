// The service worker keeps the shell: the files of the page, which are the same for everybody. Replies of the device are never kept.
// The program puts two lines before this text, version and shell (the paths of the files): see page.go.

const cacheName = `shell-${version}`;
const patience = 4000; // ms that a device may take to begin a reply
const rest = 10_000; // ms after a failure in which the kept files come at once

let failed = -Infinity;

self.addEventListener("install", (e) => e.waitUntil(keep()));

async function keep() {
  const cache = await caches.open(cacheName);
  await cache.addAll(shell.map((path) => new Request(path, { cache: "no-cache" })));
  await self.skipWaiting();
}

self.addEventListener("activate", (e) => e.waitUntil(takeOver()));

async function takeOver() {
  for (const name of await caches.keys()) {
    if (name.startsWith("shell-") && name !== cacheName) await caches.delete(name);
  }
  await self.clients.claim();
}

// A page says "take over" to a worker that still waits (see hurry in shell.js), and "up" when it has heard from the device.
self.addEventListener("message", (e) => {
  failed = -Infinity;
  if (e.data === "take over") e.waitUntil(self.skipWaiting());
});

self.addEventListener("fetch", (e) => {
  const { method, url } = e.request, { origin, pathname } = new URL(url);
  if (method === "GET" && origin === location.origin && shell.includes(pathname)) e.respondWith(answer(e.request, pathname));
});

// answer prefers the device, so that no page is older than that, and takes what is kept if the device does not reply.
async function answer(request, path) {
  const kept = await caches.match(path, { cacheName });
  if (kept && performance.now() - failed < rest) return kept;
  const late = new AbortController(), timer = setTimeout(() => late.abort(), patience);
  try {
    return await fetch(request, { signal: late.signal });
  } catch (err) {
    failed = performance.now();
    if (kept) return kept;
    throw err;
  } finally {
    clearTimeout(timer); // the rest of the reply may take its time
  }
}
