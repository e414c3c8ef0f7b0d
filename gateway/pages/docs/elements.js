// Make elements. Text is set as text, never as HTML, so nothing in the document can run.

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) {
    if (value !== undefined) made.setAttribute(attribute, value);
  }
  made.append(...children.filter((child) => child !== undefined));
  return made;
}

// Text in which `code` stands between backticks.
export function prose(text) {
  return text.split("`").map((part, index) => (index % 2 ? element("code", {}, part) : part));
}

export function table(columns, rows) {
  return element(
    "table",
    {},
    element("thead", {}, element("tr", {}, ...columns.map((title) => element("th", {}, title)))),
    element(
      "tbody",
      {},
      ...rows.map((cells) =>
        element("tr", {}, ...cells.map((cell) => element("td", {}, ...[cell].flat()))),
      ),
    ),
  );
}
