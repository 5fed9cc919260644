// Runs before the first paint: it chooses the language, so that its words, and the answer to who is there, are on their way before
// the modules ask for them.
(() => {
  const have = ["en", "de"];
  let lang;
  try {
    lang = localStorage.getItem("lang");
  } catch {
    // Storage is blocked: the browser's languages count.
  }
  if (!have.includes(lang)) lang = navigator.languages.map((l) => l.slice(0, 2).toLowerCase()).find((l) => have.includes(l)) ?? "en";
  document.documentElement.lang = lang;
  for (const href of [`lang/${lang}.json`, "owner"]) {
    const link = document.createElement("link");
    Object.assign(link, { rel: "preload", as: "fetch", crossOrigin: "anonymous", href });
    document.head.append(link);
  }
})();
