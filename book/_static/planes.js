/* People in the plane of a representation, whose colours a reader chooses.

A page says in data-viewer where people lie and how they are coloured
(mmssl/plotting/interactive_planes.py); this script draws them as SVG below
the page's own figures, from a disk too. Nothing but places and shades is in
the page.
*/
document.addEventListener("DOMContentLoaded", () => {
  const { element, drawn, menu, fill } = drawing;
  const GRID = 1000; // as interactive_planes.py writes places

  const legend = ({ shades, words, ends }) => {
    if (ends) {
      const ramp = shades.slice(0, -1).join(", ");
      const bar = element("span", { className: "viewer-ramp" });
      bar.style.background = `linear-gradient(to right, ${ramp})`;
      return [ends[0], bar, ends[1]];
    }
    return words.map((word, i) => {
      const dot = element("span", { className: "plane-dot" });
      dot.style.background = shades[i];
      return element("span", {}, dot, word);
    });
  };

  const start = (figure, { planes, colours }) => {
    if (!planes.length || !colours.length) return;
    const svg = drawn("svg", {
      role: "img",
      viewBox: `-30 -30 ${GRID + 60} ${GRID + 60}`,
    });
    const key = element("p", { className: "plane-legend" });
    const show = () => {
      const plane = planes[which.value];
      const colour = colours[by.value];
      svg.setAttribute(
        "aria-label",
        `people in the plane of ${plane.model} on ${plane.modality}, ` +
          `coloured by ${colour.name}`,
      );
      const dots = plane.points.map((point, i) => {
        if (!point) return "";
        return drawn("circle", {
          cx: point[0],
          cy: GRID - point[1],
          fill: colour.shades[colour.of[i]],
          r: 11,
        });
      });
      svg.replaceChildren(...dots.filter(Boolean));
      const share = `this plane holds ${plane.share} of the variance`;
      key.replaceChildren(...legend(colour), element("span", {}, share));
    };
    const names = planes.map((p) => `${p.model} on ${p.modality}`);
    const [which, first] = menu("representation", names, show);
    const [by, second] = menu("colour", colours.map((c) => c.name), show);
    const top = element("div", { className: "viewer-controls" });
    top.append(first, second);
    figure.append(top, svg, key);
    show();
  };

  fill("plane", start);
});
