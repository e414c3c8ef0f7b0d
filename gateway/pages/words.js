// Words on the shopper's page.

export const number = new Intl.NumberFormat("en");

export function $(id) {
  return document.getElementById(id);
}

export function say(id, text) {
  // Change a text only if it is another one: a screen reader reads each change out.
  if ($(id).textContent !== text) $(id).textContent = text;
}

export function moment(time) {
  return new Date(time).toLocaleString();
}

export function duration(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} seconds`;
  return `${Math.round(seconds / 60)} minutes`;
}
