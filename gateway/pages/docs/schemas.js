// Show JSON Schemas: a type in a few words, and an object as a table of its fields.

import { element, prose, table } from "./elements.js";

const LIMITS = {
  minimum: "at least",
  maximum: "at most",
  minLength: "characters, at least",
  maxLength: "characters, at most",
  minItems: "items, at least",
  maxItems: "items, at most",
};

export function schemaId(name) {
  return `schema-${name}`;
}

export function shortType(schema) {
  if (schema === undefined) return ["anything"];
  if (schema.$ref) {
    const name = schema.$ref.split("/").pop();
    return [element("a", { href: `#${schemaId(name)}` }, name)];
  }
  const choices = schema.oneOf ?? schema.anyOf;
  if (choices) return joined(choices.map(shortType), " or ");
  if ("const" in schema) return [code(schema.const)];
  if (schema.enum) return joined(schema.enum.map((value) => [code(value)]), ", ");
  if (schema.type === "array") {
    if (schema.prefixItems) return ["[", ...joined(schema.prefixItems.map(shortType), ", "), "]"];
    return ["list of ", ...shortType(schema.items)];
  }
  if (schema.type === "object" && schema.additionalProperties instanceof Object) {
    return ["object of ", ...shortType(schema.additionalProperties)];
  }
  return [schema.format ?? schema.type ?? "anything"];
}

export function limits(schema) {
  const found = Object.entries(LIMITS)
    .filter(([name]) => name in schema)
    .map(([name, words]) => `${words} ${schema[name]}`);
  if (schema.default !== undefined && schema.default !== null) {
    found.push(`default ${JSON.stringify(schema.default)}`);
  }
  const shown = found.length ? [found.join("; ")] : [];
  return schema.pattern ? [...shown, shown.length ? "; " : "", code(schema.pattern, false)] : shown;
}

export function schemaSection(name, schema) {
  const shown = element("article", { id: schemaId(name) }, element("h3", {}, name));
  if (schema.description) shown.append(element("p", {}, ...prose(schema.description)));
  for (const base of schema.allOf ?? []) {
    shown.append(element("p", {}, "As ", ...shortType(base), ", with:"));
  }
  if (schema.properties) {
    const required = new Set(schema.required ?? []);
    const rows = Object.entries(schema.properties).map(([field, of]) => [
      [code(field, false), required.has(field) ? " required" : ""],
      shortType(of),
      limits(of),
    ]);
    shown.append(table(["Field", "Type", "Limits"], rows));
  } else {
    shown.append(element("p", {}, ...shortType(schema)));
  }
  return shown;
}

function code(value, quoted = true) {
  return element("code", {}, quoted ? JSON.stringify(value) : value);
}

function joined(lists, separator) {
  return lists.flatMap((list, index) => (index ? [separator, ...list] : list));
}
