{
  const texts = document.currentScript.dataset;
  const bytes = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (char) => char.charCodeAt(0));
  const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer)))
    .replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  const keys = (list) => (list ?? []).map((key) => ({ ...key, id: bytes(key.id) }));

  const ask = {
    create: (options) => navigator.credentials.create({ publicKey: {
      ...options, challenge: bytes(options.challenge), excludeCredentials: keys(options.excludeCredentials),
      user: { ...options.user, id: bytes(options.user.id) },
    } }),
    get: (options) => navigator.credentials.get({ publicKey: {
      ...options, challenge: bytes(options.challenge), allowCredentials: keys(options.allowCredentials),
    } }),
  };

  // What the passkey has answered, with all that is binary in base64url.
  const written = ({ id, rawId, type, response }) => {
    const parts = ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"];
    const filled = parts.filter((name) => response[name]).map((name) => [name, text(response[name])]);
    return JSON.stringify({ id, rawId: text(rawId), type, response: Object.fromEntries(filled) });
  };

  const tell = (form, words) => {
    const place = form.querySelector("[role=alert]");
    place.textContent = words;
    place.hidden = !words;
  };

  const answer = async (form, button) => {
    if (!window.PublicKeyCredential) return tell(form, texts.unsupported);
    tell(form, "");
    let given;
    try {
      given = await fetch(button.dataset.options, { method: "POST" });
    } catch {
      return tell(form, texts.failed);
    }
    if (given.status === 401 || given.status === 404 || given.status === 409) return location.reload();
    if (!given.ok) return tell(form, await given.text());
    const { nonce, options } = await given.json();
    try {
      form.elements.answer.value = written(await ask[button.dataset.passkey](options));
    } catch (error) {
      return tell(form, { InvalidStateError: texts.known, SecurityError: texts.unsupported }[error.name] ?? texts.cancelled);
    }
    if (form.elements.nonce) form.elements.nonce.value = nonce;
    if (!form.isConnected) return;
    button.dataset.answered = "yes";
    form.requestSubmit(button);
  };

  let asking = false;
  document.addEventListener("submit", async (event) => {
    const button = event.submitter;
    if (!button?.dataset.passkey || button.dataset.answered) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    if (asking) return;
    asking = true;
    await answer(event.target, button);
    asking = false;
  }, true);
}
