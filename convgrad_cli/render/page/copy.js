// Buttons that copy a text of the page.

/** Copy the text of an element; where the browser refuses, leave it selected. */
async function copy(button) {
  const shown = document.getElementById(button.dataset.copy);
  const label = button.textContent;
  try {
    await navigator.clipboard.writeText(shown.textContent);
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = label), 1500);
  } catch {
    shown.closest("details").open = true;
    getSelection().selectAllChildren(shown);
  }
}

for (const button of document.querySelectorAll("[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", () => copy(button));
}
