/* The theme opens the chapters below a chapter by a button without a name. */
document.addEventListener("DOMContentLoaded", () => {
  for (const button of document.querySelectorAll("nav summary")) {
    if (!button.textContent.trim()) {
      button.setAttribute("aria-label", "pages below");
    }
  }
});
