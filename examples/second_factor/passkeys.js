// Forms with a passkey: the browser asks for it, then the form is sent with the result.

const dialogues = {
  create: (options) =>
    navigator.credentials.create({
      publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options),
    }),
  get: (options) =>
    navigator.credentials.get({
      publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options),
    }),
};

for (const form of document.querySelectorAll("form[data-passkey]")) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const alert = form.querySelector("[role=alert]");
    alert.hidden = true;
    try {
      const { publicKey } = JSON.parse(form.dataset.options);
      const credential = await dialogues[form.dataset.passkey](publicKey);
      form.elements.credential.value = JSON.stringify(credential);
      form.submit();
    } catch {
      alert.textContent = "The browser did not give a passkey. Try again.";
      alert.hidden = false;
    }
  });
}
