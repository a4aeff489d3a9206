/* What the scripts of the book that draw into its pages have in common.

The scripts may be read in any order, so that each uses this only after the
page is there.
*/
const drawing = (() => {
  const SVG = "http://www.w3.org/2000/svg";

  const element = (name, values = {}, ...inside) => {
    const made = Object.assign(document.createElement(name), values);
    made.append(...inside);
    return made;
  };

  const drawn = (name, values, ...inside) => {
    const made = document.createElementNS(SVG, name);
    Object.entries(values).forEach(([key, v]) => made.setAttribute(key, v));
    made.append(...inside);
    return made;
  };

  /* A menu of numbered names, and the label that it stands in. */
  const menu = (label, names, change) => {
    const made = element("select");
    names.forEach((name, i) => {
      made.append(element("option", { value: i }, name));
    });
    made.addEventListener("change", change);
    return [made, element("label", {}, `${label} `, made)];
  };

  /* A button that can be pressed in, with what tells of the mouse and of the
  keys that it is pointed at. */
  const toggle = (inside, { press, point }) => {
    const made = element("button", { type: "button" }, ...inside);
    made.addEventListener("click", press);
    pointable(made, point);
    return made;
  };

  const pointable = (target, point) => {
    const ways = { pointerenter: 1, focus: 1, pointerleave: 0, blur: 0 };
    for (const [way, isThere] of Object.entries(ways)) {
      target.addEventListener(way, () => point(Boolean(isThere)));
    }
  };

  /* Draw every place of a kind with what the page says of it. */
  const fill = (kind, start) => {
    document.querySelectorAll(`.${kind}-viewer`).forEach((figure) => {
      start(figure, JSON.parse(figure.dataset.viewer));
    });
  };

  return { element, drawn, menu, toggle, pointable, fill };
})();
