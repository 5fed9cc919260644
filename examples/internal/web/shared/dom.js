// The few things that the modules do with the document.

export const $ = (id) => document.getElementById(id);

// el makes an element: el("li", {class: "x"}, "text", child).
export function el(tag, attrs = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attrs)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

// setText touches the document only where something changes: less layout, and no noise for screen readers.
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// setBig shows a {text, unit} of format.js as a large figure with a small unit.
export function setBig(node, q) {
  const key = q == null ? "n/a" : `${q.text} ${q.unit}`;
  if (node.dataset.shown === key) return;
  node.dataset.shown = key;
  node.classList.toggle("na", q == null);
  if (q == null) {
    node.textContent = "n/a";
  } else {
    node.replaceChildren(q.text, el("span", { class: "unit" }, q.unit ? `\u2009${q.unit}` : ""));
  }
}

// keyed makes the children of parent match items: make(item) builds a child, update(child, item) fills it.
export function keyed(parent, items, key, make, update) {
  const have = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  items.forEach((item, i) => {
    const k = String(key(item));
    let child = have.get(k);
    have.delete(k);
    if (!child) {
      child = make(item);
      child.dataset.key = k;
    }
    if (parent.children[i] !== child) parent.insertBefore(child, parent.children[i] ?? null);
    update(child, item);
  });
  for (const child of have.values()) child.remove();
}
