// How numbers, moments and elements are written on this page.

export const element = (id) => document.getElementById(id);
export const count = (value) => Math.round(value).toLocaleString("en");
export const orders = (value) => (value === 1 ? "1 order" : `${count(value)} orders`);
export const clock = (moment) => new Date(moment).toLocaleTimeString("en-GB");
export const moment = (text) => (text ? new Date(text).toLocaleString("en-GB") : "–");

// Sets the words of an element, if they are others: a screen reader speaks each change.
export function say(target, words, bad = false) {
  if (target.textContent !== words) target.textContent = words;
  target.classList.toggle("bad", bad);
}

export function make(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

// Fills a table, and hides it while it has no rows.
export function fill(body, rows) {
  body.replaceChildren(...rows);
  body.closest("table").hidden = rows.length === 0;
}
