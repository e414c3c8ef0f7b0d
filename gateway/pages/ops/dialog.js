// The dialog of a change: it says what will happen, asks why, sends, and tells the result.

import { element, make, say } from "./words.js";

const dialog = element("change");
const form = element("change-form");
const confirm = element("change-confirm");
const trouble = element("change-trouble");
let open = null;

export const REASON = { name: "reason", label: "Why", hint: "For the audit. May be empty.", maxLength: 500 };

// Asks before a change. `words` says what will happen, from the values of the fields; `send` gets these,
// and returns the words of the result. `home` gets the focus if the opener is gone. `after` shows what is
// there now.
export function ask({ title, words, fields = [], action, send, home, after }) {
  const change = { words, send, home, after, opener: document.activeElement, sending: false };
  open = change;
  element("change-title").textContent = title;
  confirm.textContent = action;
  confirm.hidden = confirm.disabled = false;
  element("change-cancel").textContent = "Cancel";
  say(trouble, "");
  element("change-fields").replaceChildren(...[...fields, REASON].map(field));
  describe();
  dialog.showModal();
  (form.querySelector("input") ?? confirm).focus();
}

function field({ name, label, hint = "", type = "text", ...rest }) {
  const input = make("input", { name, type, autocomplete: "off", ...rest });
  const id = `change-hint-${name}`;
  const words = make("span", { id, textContent: hint });
  if (hint) input.setAttribute("aria-describedby", id);
  // The hint is outside of the label, so that it does not become a part of the name.
  return make("div", {}, make("label", {}, label, input), words);
}

function values() {
  const given = {};
  for (const { name, type, value } of form.querySelectorAll("input")) {
    const text = value.trim();
    given[name] = text === "" ? null : type === "number" ? Number(text) : text;
  }
  return given;
}

function describe() {
  if (open) element("change-words").textContent = open.words(values());
}

async function submit(event) {
  event.preventDefault();
  const change = open;
  if (!change || change.sending) return;
  const wrong = [...form.querySelectorAll("input")].find((input) => !input.checkValidity());
  if (wrong) {
    say(trouble, `${wrong.closest("label").firstChild.textContent}: ${wrong.validationMessage}`);
    wrong.focus();
    return;
  }
  change.sending = confirm.disabled = true;
  say(trouble, "");
  try {
    say(element("result"), await change.send(values()));
    if (open === change) dialog.close();
  } catch (error) {
    refused(change, error);
  }
  change.sending = false;
  await change.after();
  // The opener may be gone now.
  if (!dialog.open && document.activeElement === document.body) focusBack(change);
}

function refused(change, error) {
  if (open !== change) {
    say(element("result"), error.message, true);
    return;
  }
  // After a 412 the words may be wrong: what is there now must be read first.
  const again = error.status !== 412;
  confirm.hidden = !again;
  confirm.disabled = false;
  element("change-cancel").textContent = again ? "Cancel" : "Close and look again";
  say(trouble, error.message);
  (again ? confirm : element("change-cancel")).focus();
}

function focusBack({ opener, home }) {
  const visible = opener && opener.isConnected && opener.getClientRects().length > 0;
  (visible ? opener : home).focus();
}

form.addEventListener("submit", submit);
form.addEventListener("input", () => {
  describe();
  say(trouble, "");
});
element("change-cancel").addEventListener("click", () => dialog.close());
dialog.addEventListener("close", () => {
  const change = open;
  open = null;
  if (change) focusBack(change);
});
