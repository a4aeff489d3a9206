/* One panel of robustness at a time, whose models a reader chooses.

A page says in data-viewer what every model reaches in every panel
(mmssl/plotting/interactive_curves.py); this script draws the panel that is
chosen as SVG, as wide as the page, and reads values off where the mouse or the
slider stands.
*/
document.addEventListener("DOMContentLoaded", () => {
  const { element, drawn, menu, toggle, fill } = drawing;
  const STEPS = 1000; // of a unit, as interactive_curves.py writes values
  const HEIGHT = 360;
  const SIDES = { left: 52, right: 14, top: 30, bottom: 44 };
  const NEAR = 40; // pixels from the mouse to a curve that it points at

  const two = (steps) =>
    steps === null ? "none" : (steps / STEPS).toFixed(2).replace("-", "−");

  const nearest = (values, wanted) => {
    const away = values.map((v) => (v === null ? Infinity : Math.abs(v - wanted)));
    const least = Math.min(...away);
    return [away.indexOf(least), least];
  };

  /* From values to pixels, the ends at the ends. */
  const scale = (low, high, first, last) => (value) =>
    first + ((value - low) / (high - low || 1)) * (last - first);

  /* Pieces of a curve between values that are missing. */
  const pieces = (values, place) => {
    let pen = "M";
    return values
      .map((value, i) => {
        if (value === null) pen = "M";
        const [x, y] = place(i, value);
        const piece = value === null ? "" : `${pen}${x.toFixed(1)} ${y.toFixed(1)}`;
        if (value !== null) pen = "L";
        return piece;
      })
      .join("");
  };

  class Curves {
    constructor(figure, content) {
      this.content = content;
      this.models = content.models;
      this.hidden = new Set();
      this.pointed = null; // number of the model that is pointed at
      this.modalities = Object.keys(content.undistorted);
      this.svg = drawn("svg", { role: "img", height: HEIGHT });
      this.told = element("p", { className: "viewer-place" });
      this.told.setAttribute("aria-live", "polite");
      figure.append(this.controls(), this.svg, this.told, this.legend());
      this.svg.addEventListener("pointermove", (event) => this.follow(event));
      this.svg.addEventListener("pointerleave", () => this.point(null));
      this.choose();
      new ResizeObserver(() => this.show()).observe(this.svg);
    }

    controls() {
      const { panels } = this.content;
      const choose = () => this.choose();
      const names = panels.map((panel) => panel.name);
      const [which, first] = menu("distortion", names, choose);
      const [modality, second] = menu("modality", this.modalities, choose);
      this.slider = element("input", { type: "range", min: 0, step: 1, value: 0 });
      this.slider.addEventListener("input", () => this.show());
      this.which = which;
      this.modality = modality;
      const slide = element("label", {}, "value ", this.slider);
      const top = element("div", { className: "viewer-controls" });
      top.append(first, second, slide);
      return top;
    }

    /* A button a model, which hides it and shows what it reaches. */
    legend() {
      this.buttons = this.models.map(({ name, shade, dash }, i) => {
        const stroke = { stroke: shade, "stroke-dasharray": dash };
        const line = { x2: 28, y1: 6, y2: 6, "stroke-width": 3, ...stroke };
        const key = drawn("svg", { width: 28, height: 12, "aria-hidden": true });
        key.append(drawn("line", line));
        const value = element("span", { className: "curve-value" });
        return toggle([key, element("span", {}, name), value], {
          press: () => this.hide([i], !this.hidden.has(i)),
          point: (isThere) => this.point(isThere ? i : null),
        });
      });
      const all = this.models.map((_, i) => i);
      const others = [false, true].map((isHidden) => {
        const text = isHidden ? "hide all" : "show all";
        const made = element("button", { type: "button" }, text);
        made.addEventListener("click", () => this.hide(all, isHidden));
        return made;
      });
      const key = element("div", { className: "viewer-legend" });
      key.setAttribute("role", "group");
      key.setAttribute("aria-label", "models: press to hide or to show");
      key.append(...this.buttons, ...others);
      return key;
    }

    choose() {
      this.panel = this.content.panels[this.which.value];
      const modality = this.modalities[this.modality.value];
      this.curves = this.panel.curves[modality];
      this.undistorted = this.content.undistorted[modality];
      this.slider.max = this.panel.values.length - 1;
      this.show();
    }

    hide(models, isHidden) {
      models.forEach((i) => this.hidden[isHidden ? "add" : "delete"](i));
      this.show();
    }

    point(model) {
      if (model === this.pointed) return;
      this.pointed = model;
      this.show();
    }

    /* The value and the curve next to the mouse. */
    follow(event) {
      const box = this.svg.getBoundingClientRect();
      const places = this.panel.values.map(this.x);
      const [value] = nearest(places, event.clientX - box.left);
      this.slider.value = value;
      const heights = this.curves.map(([values], i) => {
        const isSeen = !this.hidden.has(i) && values[value] !== null;
        return isSeen ? this.y(values[value] / STEPS) : null;
      });
      const [model, away] = nearest(heights, event.clientY - box.top);
      this.pointed = away <= NEAR ? model : null;
      this.show();
    }

    show() {
      const width = this.svg.clientWidth || 640;
      const [low, high] = this.content.range;
      const { values, collapsed } = this.panel;
      const right = width - SIDES.right;
      const bottom = HEIGHT - SIDES.bottom;
      const last = values[values.length - 1];
      this.x = scale(values[0], last, SIDES.left + 12, right - 6);
      this.y = scale(low, high, bottom, SIDES.top);
      this.svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
      const grey = collapsed.map(([from, to]) =>
        drawn("rect", {
          x: this.x(from),
          y: SIDES.top,
          width: this.x(to) - this.x(from),
          height: bottom - SIDES.top,
          fill: "lightgrey",
          "shape-rendering": "crispEdges",
        }),
      );
      // what is pointed at lies above
      const order = this.models
        .map((_, i) => i)
        .filter((i) => !this.hidden.has(i))
        .sort((i, j) => (i === this.pointed) - (j === this.pointed));
      this.svg.replaceChildren(
        ...grey,
        ...this.frame(SIDES.left, right, bottom, width),
        ...order.flatMap((i) => this.curve(i)),
      );
      this.tell();
    }

    /* Axes, their numbers, chance, and where values are read. */
    frame(left, right, bottom, width) {
      const line = (x1, y1, x2, y2, values) =>
        drawn("line", { x1, y1, x2, y2, stroke: "black", ...values });
      const text = (x, y, anchor, words) =>
        drawn("text", { x, y, "text-anchor": anchor }, words);
      const chance = this.y(this.content.chance);
      const at = this.x(this.panel.values[this.slider.value]);
      const dotted = { stroke: "grey", "stroke-dasharray": "2 3" };
      const made = [
        line(left, bottom, right, bottom),
        line(left, bottom, left, SIDES.top),
        line(left, chance, right, chance, dotted),
        line(at, SIDES.top, at, bottom, { stroke: "grey", class: "curve-at" }),
        text((left + right) / 2, HEIGHT - 6, "middle", this.panel.name),
        text(8, SIDES.top - 12, "start", this.content.measure),
      ];
      const few = width < 480 && this.panel.ticks.length > 5;
      this.panel.ticks.forEach(([place, words], i) => {
        const x = this.x(place);
        made.push(line(x, bottom, x, bottom + 4));
        if (!few || i % 2 === 0) made.push(text(x, bottom + 18, "middle", words));
      });
      this.content.ticks.forEach(([place, words]) => {
        const y = this.y(place);
        made.push(line(left - 4, y, left, y));
        made.push(text(left - 8, y + 4, "end", words));
      });
      return made;
    }

    /* A curve, its band, and the undistorted value at the left. */
    curve(i) {
      const { shade, dash } = this.models[i];
      const { values } = this.panel;
      const [estimate, low, high] = this.curves[i];
      const isPointed = i === this.pointed;
      const isPale = this.pointed !== null && !isPointed;
      const place = (k, value) => [this.x(values[k]), this.y(value / STEPS)];
      const stroke = { stroke: shade, fill: "none" };
      const made = [];
      if (!isPale && !low.includes(null)) {
        const back = pieces([...high].reverse(), (k, value) =>
          place(high.length - 1 - k, value),
        );
        made.push(
          drawn("path", {
            d: `${pieces(low, place)}L${back.slice(1)}Z`,
            fill: shade,
            "fill-opacity": isPointed ? 0.2 : 0.06,
            class: "curve-band",
          }),
        );
      }
      const [[whole]] = this.undistorted[i];
      if (whole !== null) {
        const y = this.y(whole / STEPS);
        const ends = { x1: SIDES.left - 4, x2: SIDES.left + 6, y1: y, y2: y };
        made.push(drawn("line", { ...ends, ...stroke, "stroke-width": 3 }));
      }
      made.push(
        drawn("path", {
          d: pieces(estimate, place),
          ...stroke,
          "stroke-dasharray": dash,
          "stroke-opacity": isPale ? 0.35 : 1,
          "stroke-width": isPointed ? 4 : 2.2,
          class: "curve-line",
        }),
      );
      const k = Number(this.slider.value);
      if (estimate[k] !== null && !isPale) {
        const [cx, cy] = place(k, estimate[k]);
        made.push(drawn("circle", { cx, cy, r: isPointed ? 6 : 4, fill: shade }));
      }
      return made;
    }

    /* The values where the line stands, by each name and in a sentence. */
    tell() {
      const k = Number(this.slider.value);
      const { parameter, told, unit, collapsed, values } = this.panel;
      const at = `${told[k]}${unit && unit !== "°" ? " " : ""}${unit}`;
      const reached = this.curves.map(([estimate, low, high]) =>
        estimate[k] === null
          ? "none"
          : `${two(estimate[k])} [${two(low[k])}, ${two(high[k])}]`,
      );
      this.buttons.forEach((button, i) => {
        button.setAttribute("aria-pressed", String(!this.hidden.has(i)));
        button.lastChild.textContent = reached[i];
      });
      this.slider.setAttribute("aria-valuetext", at);
      const modality = this.modalities[this.modality.value];
      const { measure } = this.content;
      this.svg.setAttribute(
        "aria-label",
        `${measure} of each model on ${modality} along ${this.panel.name}`,
      );
      let words = `${parameter} ${at}`;
      const isAt = ([from, to]) => values[k] >= from && values[k] <= to;
      if (collapsed.some(isAt)) words += " (an image of a few voxels)";
      if (this.pointed === null) {
        words += ": point at a curve or at a name below for one model.";
      } else {
        const [[whole]] = this.undistorted[this.pointed];
        words +=
          `: ${this.models[this.pointed].name} has ${measure} ` +
          `${reached[this.pointed]}, ${two(whole)} undistorted.`;
      }
      this.told.textContent = words;
    }
  }

  fill("curve", (figure, content) => {
    if (content.panels.length) new Curves(figure, content);
  });
});
