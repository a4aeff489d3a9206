/* The graph of one objective at a time, which says what its arrows are.

A page says in data-viewer where nodes lie and arrows run
(mmssl/plotting/interactive_graphs.py); this script draws them as SVG. The
mouse, and the keys that lead from arrow to arrow, ask what one brings together
and what was learned of its term.
*/
document.addEventListener("DOMContentLoaded", () => {
  const { element, drawn, menu, toggle, pointable, fill } = drawing;
  const RADIUS = 27; // of a node, in interactive_graphs.py's steps
  const HEAD = 20; // length of the head of an arrow
  const NAMES = 150; // for those of the modalities
  const ROOM = 50; // around the outermost nodes and arrows

  /* A head at a point, away from where its curve comes from, and where the
  line below it ends. */
  const head = ([x, y], [fromX, fromY]) => {
    const long = Math.hypot(x - fromX, y - fromY) || 1;
    const [dx, dy] = [(HEAD * (x - fromX)) / long, (HEAD * (y - fromY)) / long];
    const base = [x - dx, y - dy];
    const wing = (sign) =>
      `${base[0] - (sign * dy) / 2.2},${base[1] + (sign * dx) / 2.2}`;
    return [`${x},${y} ${wing(1)} ${wing(-1)}`, base];
  };

  /* An arrow along three points, with a head at its end, or at both. */
  const arrow = ([x0, y0, x1, y1, x2, y2], both, shade, width) => {
    const [last, end] = head([x2, y2], [x1, y1]);
    const [first, start] = both ? head([x0, y0], [x1, y1]) : [null, [x0, y0]];
    const d = `M${start.join(" ")}Q${x1} ${y1} ${end.join(" ")}`;
    const line = { d, fill: "none" };
    return [
      drawn("path", { ...line, stroke: "transparent", "stroke-width": 34 }),
      drawn("path", { ...line, stroke: shade, "stroke-width": width }),
      ...[first, last]
        .filter(Boolean)
        .map((points) => drawn("polygon", { points, fill: shade })),
    ];
  };

  class Graphs {
    constructor(figure, content) {
      this.content = content;
      const names = content.graphs.map((graph) => graph.name);
      const [which, label] = menu("objective", names, () => this.choose());
      this.which = which;
      this.svg = drawn("svg", { role: "group", viewBox: this.view() });
      this.told = element("p", { className: "viewer-place" });
      this.told.setAttribute("aria-live", "polite");
      this.key = element("div", { className: "viewer-legend" });
      this.key.setAttribute("role", "group");
      this.key.setAttribute("aria-label", "terms of the objective");
      if (names.length > 1) {
        figure.append(element("div", { className: "viewer-controls" }, label));
      }
      // what grows stands last, so that no button moves below the mouse
      figure.append(this.svg, this.key, this.told);
      this.choose();
    }

    /* Room for the largest graph, so that none jumps. */
    view() {
      const { graphs } = this.content;
      const points = graphs.flatMap(({ nodes, terms }) => [
        ...nodes.map((node) => node.slice(2)),
        ...terms
          .flatMap((term) => term.edges)
          // the middle of a curve of three points
          .map(({ curve: [a, b, c, d, e, f] }) => [
            (a + 2 * c + e) / 4,
            (b + 2 * d + f) / 4,
          ]),
      ]);
      const across = points.map(([x]) => x);
      const down = points.map(([, y]) => y);
      const top = Math.min(...down) - ROOM;
      const width = NAMES + Math.max(...across) + ROOM;
      const height = Math.max(...down) + ROOM - top;
      return `${-NAMES} ${top} ${width} ${height}`;
    }

    choose() {
      this.graph = this.content.graphs[this.which.value || 0];
      this.pinned = null; // number of the term that was pressed
      const { nodes, encoders, terms } = this.graph;
      const grey = encoders.map((curve) =>
        drawn("g", {}, ...arrow(curve, false, this.content.grey, 2)),
      );
      this.arrows = terms.flatMap((term, t) =>
        term.edges.map((edge) => this.arrow(term, t, edge)),
      );
      const circles = nodes.flatMap(([symbol, modality, cx, cy]) => [
        drawn("circle", {
          cx,
          cy,
          r: RADIUS,
          fill: "white",
          stroke: this.content.rows[modality],
          "stroke-width": 4,
        }),
        drawn("text", { x: cx, y: cy + 10, class: "graph-symbol" }, symbol),
      ]);
      const rows = nodes
        .filter(([symbol]) => symbol === "x")
        .map(([, modality, x, y]) =>
          drawn("text", { x: x - 45, y: y + 10, "text-anchor": "end" }, modality),
        );
      this.svg.setAttribute(
        "aria-label",
        `graph of ${this.graph.name}: what its terms bring together`,
      );
      const marks = this.arrows.map(({ mark }) => mark);
      this.svg.replaceChildren(...grey, ...marks, ...circles, ...rows);
      this.buttons = terms.map((term, t) => this.button(term, t));
      this.key.replaceChildren(...this.buttons);
      this.point(null, null);
    }

    arrow(term, number, edge) {
      const mark = drawn(
        "g",
        {
          class: "graph-arrow",
          role: "img",
          tabindex: 0,
          "aria-label": `${term.name}: ${edge.text}`,
        },
        ...arrow(edge.curve, edge.both, term.shade, 5),
      );
      pointable(mark, (isThere) => {
        this.point(isThere ? number : null, isThere ? edge : null);
      });
      return { mark, number, edge };
    }

    button(term, number) {
      const dot = element("span", { className: "plane-dot" });
      dot.style.background = term.shade;
      const gain = term.gain === undefined ? [] : [term.gain];
      return toggle([dot, [term.name, ...gain].join(" ")], {
        press: () => {
          this.pinned = this.pinned === number ? null : number;
          this.point(number, null);
        },
        point: (isThere) => this.point(isThere ? number : null, null),
      });
    }

    /* Bring out one term, or one arrow of it, and say what it is. */
    point(number, edge) {
      const term = number === null ? this.pinned : number;
      this.buttons.forEach((button, t) => {
        button.setAttribute("aria-pressed", String(t === this.pinned));
      });
      for (const { mark, number: own, edge: itself } of this.arrows) {
        const isMeant = own === term && (!edge || edge === itself);
        const isPale = term !== null && !isMeant;
        mark.setAttribute("opacity", isPale ? 0.2 : 1);
        const [, line] = mark.childNodes;
        line.setAttribute("stroke-width", isMeant ? 9 : 5);
      }
      if (term === null) {
        this.told.textContent = "Point at an arrow or a term to read what it is.";
        return;
      }
      const { name, gain, edges } = this.graph.terms[term];
      const texts = (edge ? [edge] : edges).map(({ text }) => text);
      const learned = gain === undefined ? "" : `; ${gain}`;
      this.told.textContent = `${name}: ${texts.join("; ")}${learned}.`;
    }
  }

  fill("graph", (figure, content) => {
    if (content.graphs.length) new Graphs(figure, content);
  });
});
