/* What is wider than its box says that it scrolls.

Tables and equations scroll sideways in a box of their own. Where one is cut
exactly between two columns, nothing else shows that there is more.
*/
(() => {
  const BOXES = [
    ".bd-content .cell_output > .output",
    ".bd-content .pst-scrollable-table-container",
    ".bd-content div.math",
  ].join(", ");

  const mark = (box) => {
    // an equation scrolls in an element that MathJax makes later
    const inside = box.querySelector(":scope > mjx-container") || box;
    const hidden = inside.scrollWidth - inside.clientWidth;
    box.classList.toggle("overflows", hidden > 2);
  };

  const start = () => {
    const sized = new ResizeObserver((entries) => {
      entries.forEach((entry) => mark(entry.target.closest(BOXES)));
    });
    document.querySelectorAll(BOXES).forEach((box) => {
      sized.observe(box);
      // a box keeps its size when what it holds gets another
      [...box.children].forEach((child) => sized.observe(child));
    });
  };

  document.addEventListener("DOMContentLoaded", start);
})();
