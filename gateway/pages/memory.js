// What the browser keeps for the page, for all tabs.

export function stored(name) {
  return `flashsale ${name}`;
}

export function remember(name, value) {
  try {
    if (value === null) localStorage.removeItem(stored(name));
    else localStorage.setItem(stored(name), JSON.stringify(value));
  } catch {
    // Without storage a reload forgets the order; everything else works.
  }
}

export function remembered(name) {
  try {
    return JSON.parse(localStorage.getItem(stored(name)));
  } catch {
    return null;
  }
}
