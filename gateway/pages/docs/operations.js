// Show the operations: what each takes, and every answer that it has.

import { element, prose, table } from "./elements.js";
import { limits, shortType } from "./schemas.js";

const METHODS = ["get", "post", "put", "patch", "delete"];

// All operations as a list, each with its method, its path, and the parameters of the path.
export function operationsOf(openapi) {
  return Object.entries(openapi.paths).flatMap(([path, item]) =>
    METHODS.filter((method) => method in item).map((method) => ({
      ...item[method],
      method,
      path,
      parameters: [...(item.parameters ?? []), ...(item[method].parameters ?? [])],
    })),
  );
}

export function operationSection(openapi, operation) {
  const shown = element(
    "details",
    { id: operation.operationId, class: "operation" },
    element(
      "summary",
      {},
      badge(operation.method),
      element("code", {}, operation.path),
      element("span", {}, operation.summary),
    ),
  );
  if (operation.security) {
    const schemes = operation.security.flatMap(Object.keys).join(" or ");
    shown.append(element("p", {}, "Needs ", element("code", {}, schemes), "."));
  }
  if (operation.parameters.length) {
    shown.append(element("h4", {}, "Parameters"), parameterTable(operation.parameters));
  }
  if (operation.requestBody) {
    const { content, required } = operation.requestBody;
    shown.append(
      element("h4", {}, required ? "Body" : "Body, if any"),
      element("p", {}, ...bodies(content)),
    );
  }
  shown.append(element("h4", {}, "Answers"), answerTable(openapi, operation.responses));
  return shown;
}

export function badge(method) {
  return element("span", { class: `method ${method}` }, method.toUpperCase());
}

function parameterTable(parameters) {
  return table(
    ["Name", "In", "Type", "Meaning"],
    parameters.map((parameter) => [
      [element("code", {}, parameter.name), parameter.required ? " required" : ""],
      parameter.in,
      [...shortType(parameter.schema), " ", element("small", {}, ...limits(parameter.schema))],
      prose(parameter.description),
    ]),
  );
}

function answerTable(openapi, responses) {
  return table(
    ["Status", "Meaning", "Headers", "Body"],
    Object.entries(responses).map(([status, response]) => {
      const answer = resolved(openapi, response);
      return [
        element("strong", {}, status),
        prose(answer.description),
        joinedCodes(Object.keys(answer.headers ?? {})),
        bodies(answer.content ?? {}),
      ];
    }),
  );
}

function bodies(content) {
  // The types of content of one body have the same schema.
  const [[, { schema } = {}] = []] = Object.entries(content);
  const types = Object.keys(content).join(" or ");
  if (!types) return ["none"];
  if (!schema) return [element("small", {}, types)];
  const shown = types === "text/event-stream" ? events(schema) : [": ", ...shortType(schema)];
  return [element("small", {}, types), ...shown];
}

// A stream has one schema for each event, with the name of the event and what its data is.
function events(schema) {
  return (schema.oneOf ?? [schema]).flatMap(({ properties: { event, data } }) => [
    element("br"),
    element("code", {}, event.const),
    ": ",
    ...shortType(data.contentSchema),
  ]);
}

function joinedCodes(names) {
  return names.flatMap((name, index) => [index ? ", " : "", element("code", {}, name)]);
}

function resolved(openapi, response) {
  if (!response.$ref) return response;
  return openapi.components.responses[response.$ref.split("/").pop()];
}
