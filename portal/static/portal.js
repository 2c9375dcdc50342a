// What makes the pages quicker to use. Everything works without this file.
"use strict";

// A form is sent once: the second press finds the button resting. The server refuses doubles on its own.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.dataset.sent) { event.preventDefault(); return; }
  form.dataset.sent = "yes";
  for (const button of form.querySelectorAll("button[type=submit]")) button.setAttribute("aria-disabled", "true");
  setTimeout(() => {
    delete form.dataset.sent;
    for (const button of form.querySelectorAll("button[type=submit]")) button.removeAttribute("aria-disabled");
  }, 8000);
});

// Show-password buttons exist only where they can work.
for (const input of document.querySelectorAll("input[type=password]")) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "second";
  button.textContent = "Show";
  button.setAttribute("aria-label", "Show password");
  button.setAttribute("aria-controls", input.id);
  button.addEventListener("click", () => {
    const shown = input.type === "text";
    input.type = shown ? "password" : "text";
    button.textContent = shown ? "Show" : "Hide";
    button.setAttribute("aria-label", shown ? "Show password" : "Hide password");
  });
  const frame = document.createElement("div");
  frame.className = "with-button";
  input.replaceWith(frame);
  frame.append(input, button);
  input.form?.addEventListener("submit", () => { input.type = "password"; });
}

// Focus goes to the error summary when there is one, else to the message that was opened, however its page came.
const summary = document.querySelector(".error-summary");
if (summary) summary.focus();
else document.querySelector("[data-arrive]")?.focus({ preventScroll: true });

// How long the session lasts is said two minutes before it ends, and prolonged in place.
const timeout = document.querySelector("[data-session-ends]");
if (timeout) {
  let ends = Date.parse(timeout.dataset.sessionEnds);
  const offset = Date.now() - Date.parse(timeout.dataset.now);
  const left = () => Math.round((ends - (Date.now() - offset)) / 1000);
  const words = timeout.querySelector("[data-left]");
  const kept = document.querySelector("form[data-keep-draft]");
  const typed = document.querySelector("main form :is(textarea, input:not([type=hidden]))");
  timeout.querySelector("[data-kept]").textContent = kept ? "What you typed is kept." : typed ? "What you typed here is not kept." : "";
  setInterval(() => {
    const seconds = left();
    if (seconds <= 0) { location.reload(); return; }
    timeout.hidden = seconds > 120;
    if (!timeout.hidden && (seconds % 30 === 0 || !words.textContent)) words.textContent = `${seconds} seconds`;
  }, 1000);
  timeout.querySelector("form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const answer = await fetch(event.target.action, { method: "POST", body: new URLSearchParams(new FormData(event.target)) });
    const text = await answer.text();
    if (answer.ok && Date.parse(text)) { ends = Date.parse(text); timeout.hidden = true; } else { location.reload(); }
  });
}

// A page brought back from the browser's memory after signing out is asked for anew.
addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });

// Drafts are kept while one types.
for (const form of document.querySelectorAll("form[data-keep-draft]")) {
  const told = form.querySelector("[data-draft-told]");
  let timer = 0;
  const keep = async () => {
    const body = new URLSearchParams();
    for (const [name, value] of new FormData(form)) if (typeof value === "string") body.append(name, value);
    const kept = await fetch(form.dataset.keepDraft, { method: "POST", body }).then((answer) => answer.ok && !answer.redirected, () => false);
    if (told) told.textContent = kept ? "Draft kept." : "The draft could not be kept just now.";
  };
  form.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(keep, 1200); });
  form.addEventListener("submit", () => clearTimeout(timer));
}

// Printing is offered where it can be done with a button.
for (const button of document.querySelectorAll("[data-print]")) {
  button.hidden = false;
  button.addEventListener("click", () => print());
}

// When an answer does not come, or is a refusal, the page itself is asked for and says why.
for (const name of ["htmx:responseError", "htmx:sendError"]) {
  document.addEventListener(name, (event) => {
    const { requestConfig: asked, target } = event.detail;
    if (asked.verb === "get") location.assign(asked.path);
    else target.textContent = "This could not be asked just now. It is shown before anything is sent.";
  });
}

// In a list of results j and k or the arrows move from one to the next, and in an open one j and k open the next.
const STEPS = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 };
const showKeys = () => { for (const hint of document.querySelectorAll("[data-keys]")) hint.hidden = false; };
showKeys();
document.addEventListener("keydown", (event) => {
  const step = STEPS[event.key];
  if (!step || event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select")) return;
  const list = event.target.closest(".results");
  if (list) {
    const items = [...list.querySelectorAll("a.item")];
    items[items.indexOf(event.target) + step]?.focus();
    event.preventDefault();
  } else if (event.key.length === 1 && event.target.closest("[data-preview]")) {
    const beside = document.querySelector(`.beside a[rel=${step > 0 ? "next" : "prev"}]`);
    if (beside) { htmx.process(beside); beside.click(); } // the heading has the focus before htmx saw the links
  }
});

// A message opened beside its list: focus goes to it, and the list shows where one is.
const showPlace = () => document.querySelector(".aside [aria-current]")?.scrollIntoView({ block: "nearest" });
showPlace();
document.addEventListener("htmx:afterSettle", (event) => {
  if (event.detail.target.id !== "main") return;
  showPlace();
  showKeys();
  scrollTo(0, 0);
  document.querySelector("[data-arrive]")?.focus({ preventScroll: true });
});
