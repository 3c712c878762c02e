// Passkeys: the browser signs what the server asks it to, and the form sends what it has signed.
// A form says which of the two with data-passkey ("create" or "get"), and what to sign with data-options or where to
// fetch that with data-href. It is hidden where a browser has no passkeys.
"use strict";

(() => {
  if (!window.PublicKeyCredential) return;

  const bytesOf = (text) => {
    const plain = atob(text.replace(/-/g, "+").replace(/_/g, "/"));
    return Uint8Array.from(plain, (letter) => letter.charCodeAt(0));
  };
  const textOf = (bytes) =>
    btoa(String.fromCharCode(...new Uint8Array(bytes))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  const named = (keys) => (keys || []).map((key) => ({ ...key, id: bytesOf(key.id) }));

  const make = async ({ publicKey }) => {
    const made = await navigator.credentials.create({
      publicKey: {
        ...publicKey,
        challenge: bytesOf(publicKey.challenge),
        user: { ...publicKey.user, id: bytesOf(publicKey.user.id) },
        excludeCredentials: named(publicKey.excludeCredentials),
      },
    });
    return {
      clientDataJSON: textOf(made.response.clientDataJSON),
      attestationObject: textOf(made.response.attestationObject),
      transports: made.response.getTransports?.() ?? [],
      of: made,
    };
  };
  const sign = async ({ publicKey }) => {
    const signed = await navigator.credentials.get({
      publicKey: {
        ...publicKey,
        challenge: bytesOf(publicKey.challenge),
        allowCredentials: named(publicKey.allowCredentials),
      },
    });
    const { clientDataJSON, authenticatorData, signature, userHandle } = signed.response;
    return {
      clientDataJSON: textOf(clientDataJSON),
      authenticatorData: textOf(authenticatorData),
      signature: textOf(signature),
      userHandle: userHandle ? textOf(userHandle) : null,
      of: signed,
    };
  };
  const asJson = ({ of, ...response }) =>
    JSON.stringify({
      id: of.id,
      rawId: textOf(of.rawId),
      type: of.type,
      authenticatorAttachment: of.authenticatorAttachment ?? null,
      clientExtensionResults: of.getClientExtensionResults(),
      response,
    });

  for (const form of document.querySelectorAll("form[data-passkey]")) {
    const field = form.querySelector("[name$=credential]");
    const button = form.querySelector("[data-passkey-button]") ?? form.querySelector("button");
    const problem = form.querySelector("[data-passkey-problem]");
    form.hidden = button.hidden = false;
    button.addEventListener("click", async (event) => {
      event.preventDefault();
      if (!form.reportValidity()) return;
      problem.textContent = "";
      button.setAttribute("aria-busy", "true");
      try {
        const { options, href } = form.dataset;
        const asked = options
          ? JSON.parse(options)
          : await (await fetch(href, { headers: { Accept: "application/json" } })).json();
        field.value = asJson(await (form.dataset.passkey === "create" ? make : sign)(asked));
        form.submit();
      } catch (error) {
        // Most often somebody has closed the browser's own dialog.
        problem.textContent = problem.dataset.failed || "";
        console.info(error);
      } finally {
        button.removeAttribute("aria-busy");
      }
    });
  }
})();
