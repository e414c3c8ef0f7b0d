// The page that shows openapi.json: operations by tag, then the schemas.

import { element, prose } from "./elements.js";
import { badge, operationSection, operationsOf } from "./operations.js";
import { schemaSection } from "./schemas.js";

const byId = (id) => document.getElementById(id);

function show(openapi) {
  byId("title").textContent = `${openapi.info.title} ${openapi.info.version}`;
  byId("description").append(...prose(openapi.info.description));
  const operations = operationsOf(openapi);
  for (const tag of openapi.tags) {
    const tagged = operations.filter((operation) => operation.tags.includes(tag.name));
    byId("operations").append(
      element(
        "section",
        { "data-tag": tag.name },
        element("h2", {}, tag.name),
        element("p", {}, ...prose(tag.description)),
        ...tagged.map((operation) => operationSection(openapi, operation)),
      ),
    );
    byId("contents").append(
      element(
        "section",
        {},
        element("h2", {}, tag.name),
        element("ul", {}, ...tagged.map(contentsEntry)),
      ),
    );
  }
  for (const [name, schema] of Object.entries(openapi.components.schemas)) {
    byId("schemas").append(schemaSection(name, schema));
  }
  byId("schemas").hidden = false;
  byId("state").hidden = true;
}

function contentsEntry(operation) {
  const { method, path, operationId, summary } = operation;
  return element(
    "li",
    { "data-words": `${method} ${path} ${operationId} ${summary}`.toLowerCase() },
    element("a", { href: `#${operationId}` }, badge(method), element("span", {}, path)),
  );
}

// Open the operation that the address names, and go there.
function goToFragment() {
  const target = byId(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  if (target instanceof HTMLDetailsElement) target.open = true;
  target.scrollIntoView();
}

byId("filter").addEventListener("input", ({ target }) => {
  const wanted = target.value.trim().toLowerCase();
  for (const entry of document.querySelectorAll("#contents li")) {
    const found = entry.dataset.words.includes(wanted);
    entry.hidden = !found;
    const link = entry.querySelector("a").getAttribute("href");
    byId(link.slice(1)).hidden = !found;
  }
  for (const part of document.querySelectorAll("#contents section, #operations section")) {
    part.hidden = !part.querySelector("li:not([hidden]), details:not([hidden])");
  }
});
addEventListener("hashchange", goToFragment);

try {
  const answer = await fetch("openapi.json");
  if (!answer.ok) throw new Error(`openapi.json: status ${answer.status}`);
  show(await answer.json());
  goToFragment();
} catch (error) {
  byId("state").textContent = `The description can't be shown: ${error.message}.`;
}
