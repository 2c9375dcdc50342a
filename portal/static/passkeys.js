// Passkeys need script: the browser's own API asks the device. Buttons stay hidden where that API is missing.
"use strict";

const toBytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
const toText = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

async function options(form) {
  const body = new URLSearchParams({ form_token: form.elements.form_token.value });
  const answer = await fetch(form.dataset.passkey, { method: "POST", body });
  if (!answer.ok || answer.redirected) throw new Error("no options");
  return answer.json();
}

async function make(form) {
  const wanted = await options(form);
  wanted.challenge = toBytes(wanted.challenge);
  wanted.user.id = toBytes(wanted.user.id);
  for (const known of wanted.excludeCredentials ?? []) known.id = toBytes(known.id);
  const made = await navigator.credentials.create({ publicKey: wanted });
  return {
    id: made.id, rawId: toText(made.rawId), type: made.type,
    response: { clientDataJSON: toText(made.response.clientDataJSON), attestationObject: toText(made.response.attestationObject) },
  };
}

async function use(form) {
  const wanted = await options(form);
  wanted.challenge = toBytes(wanted.challenge);
  for (const known of wanted.allowCredentials ?? []) known.id = toBytes(known.id);
  const used = await navigator.credentials.get({ publicKey: wanted });
  const { clientDataJSON, authenticatorData, signature, userHandle } = used.response;
  return {
    id: used.id, rawId: toText(used.rawId), type: used.type,
    response: {
      clientDataJSON: toText(clientDataJSON), authenticatorData: toText(authenticatorData),
      signature: toText(signature), userHandle: userHandle ? toText(userHandle) : null,
    },
  };
}

for (const form of document.querySelectorAll("form[data-passkey]")) {
  if (!window.PublicKeyCredential) continue;
  form.hidden = false;
  for (const words of document.querySelectorAll("[data-choose]")) words.hidden = false;
  const told = form.querySelector("[data-told]");
  form.addEventListener("submit", async (event) => {
    if (form.elements.answer.value) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    told.textContent = "Waiting for your device.";
    try {
      form.elements.answer.value = JSON.stringify(await (form.dataset.act === "make" ? make(form) : use(form)));
      form.submit();
    } catch {
      told.textContent = "The passkey was not used. Try again, or use another way.";
    }
  });
}
