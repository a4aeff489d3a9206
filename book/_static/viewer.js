/* Maps of the brain that a reader can move through.

A page shows its maps in a figure, and says in data-viewer which they are
(mmssl/plotting/viewer.py). Where a server gives the site, this script draws
them there by NiiVue: over the template, one cross for all modalities, the
threshold as a slider. Where it cannot, a sentence says why.
*/
(() => {
  const here = document.currentScript.src;
  const engine = new URL("niivue/niivue-0.69.0.mjs", here);
  const files = new URL("../maps/", here);
  const NEAR = 15; // mm: what is farther is not named
  // in the order of the figures, at one scale, as the template is a cube: left,
  // top, width and height as shares of the canvas
  const PLANES = {
    sliceTypeSagittal: [0.01, 0, 0.32, 1],
    sliceTypeCoronal: [0.34, 0, 0.32, 1],
    sliceTypeAxial: [0.67, 0, 0.32, 1],
  };
  const element = (...parts) => drawing.element(...parts);

  const explain = (figure, why) => {
    const text = `The figure above cannot be walked through: ${why}`;
    figure.append(element("p", { className: "viewer-note" }, text));
  };

  const reason = ({ message }) => `its maps could not be read (${message}).`;

  const colourMap = (colours) => {
    const map = { R: [], G: [], B: [], A: [], I: [] };
    colours.forEach((colour, i) => {
      map.R.push(parseInt(colour.slice(1, 3), 16));
      map.G.push(parseInt(colour.slice(3, 5), 16));
      map.B.push(parseInt(colour.slice(5, 7), 16));
      map.A.push(i ? 255 : 0); // what is 0 lets the anatomy through
      map.I.push(Math.round((255 * i) / (colours.length - 1)));
    });
    return map;
  };

  const nearest = (regions, place) => {
    let found = { distance: Infinity };
    for (const [name, network, ...centre] of regions) {
      const away = centre.map((value, i) => value - place[i]);
      const distance = Math.hypot(...away);
      if (distance < found.distance) found = { name, network, distance };
    }
    return found;
  };

  class Viewer {
    constructor(figure, content, regions) {
      this.figure = figure;
      this.content = content;
      this.regions = regions;
      this.panes = {};
      this.controls();
    }

    controls() {
      const { choices, above, below, scale } = this.content;
      const names = choices.map(({ name }) => name);
      const [menu, map] = drawing.menu("map", names, () => {
        this.show().catch((error) => explain(this.figure, reason(error)));
      });
      this.menu = menu;
      this.slider = element("input", { type: "range", min: 0, step: "any" });
      this.value = element("output");
      this.ends = [element("span"), element("span")];
      const ramp = [...below].reverse().concat(above).join(", ");
      const bar = element("span", { className: "viewer-ramp" });
      bar.style.background = `linear-gradient(to right, ${ramp})`;
      const threshold = below.length ? `|${scale}| above` : `${scale} above`;
      this.top = element(
        "div",
        { className: "viewer-controls" },
        map,
        element("label", {}, `${threshold} `, this.slider, " ", this.value),
        element(
          "span",
          { className: "viewer-scale" },
          `${scale} `,
          this.ends[0],
          bar,
          this.ends[1],
        ),
      );
      this.brains = element("div", { className: "viewer-brains" });
      this.place = element("p", { className: "viewer-place" });
      this.slider.addEventListener("input", () => this.threshold());
    }

    async show() {
      const turn = (this.turn = (this.turn || 0) + 1);
      this.figure.dataset.state = "loading";
      const choice = this.content.choices[this.menu.value || 0];
      const drawn = Object.values(choice.volumes);
      this.limit = Math.max(...drawn.map((map) => map.limit)) || 1;
      this.slider.max = this.limit;
      this.slider.value = this.limit * this.content.share;
      const lowest = this.content.below.length ? -this.limit : 0;
      this.ends[0].textContent = lowest.toFixed(2);
      this.ends[1].textContent = this.limit.toFixed(2);
      for (const [modality, pane] of Object.entries(this.panes)) {
        pane.box.hidden = !(modality in choice.volumes);
      }
      for (const [modality, map] of Object.entries(choice.volumes)) {
        const pane = await this.pane(modality);
        await this.load(pane, map);
        if (turn !== this.turn) return; // another was chosen meanwhile
      }
      this.shown = Object.keys(choice.volumes).map((m) => this.panes[m]);
      this.link();
      this.threshold();
      for (const { brain } of this.shown) {
        brain.scene.crosshairPos = brain.mm2frac(drawn[0].peak);
        brain.drawScene();
      }
      this.figure.dataset.state = "ready";
      this.shown[0].brain.createOnLocationChange();
    }

    async pane(modality) {
      if (this.panes[modality]) return this.panes[modality];
      const canvas = element("canvas");
      canvas.setAttribute("role", "img");
      canvas.setAttribute(
        "aria-label",
        `${modality}: three slices at the cross, which the mouse moves`,
      );
      const note = element("figcaption");
      const title = element("strong", {}, modality);
      const box = element(
        "div",
        { className: "viewer-pane" },
        title,
        element("div", { className: "viewer-canvas" }, canvas),
        note,
      );
      this.brains.append(box);
      const brain = new niivue.Niivue({
        backColor: [0, 0, 0, 1],
        crosshairColor: [0.9, 0.6, 0, 0.8],
        crosshairWidth: 1,
        dragAndDropEnabled: false,
        isColorbar: false,
        isResizeCanvas: true,
        loadingText: "",
        logLevel: "error",
        show3Dcrosshair: false,
        showAllOrientationMarkers: true,
      });
      brain.addColormap("above", colourMap(this.content.above));
      if (this.content.below.length) {
        brain.addColormap("below", colourMap(this.content.below));
      }
      await brain.attachToCanvas(canvas);
      const planes = Object.entries(PLANES);
      brain.setCustomLayout(
        planes.map(([type, position]) => ({ sliceType: brain[type], position })),
      );
      const pane = { modality, box, brain, note };
      brain.onLocationChange = (location) => this.tell(location);
      this.panes[modality] = pane;
      return pane;
    }

    async load(pane, map) {
      const below = this.content.below.length ? "below" : "";
      await pane.brain.loadVolumes([
        { url: new URL("template.nii.gz", files).href, colormap: "gray" },
        {
          url: new URL(map.file, files).href,
          colormap: "above",
          colormapNegative: below,
          cal_min: 0,
          cal_max: this.limit,
        },
      ]);
      // from 0, so that colours keep their meaning when the threshold moves
      pane.brain.volumes[1].colormapType = 2;
      pane.note.textContent = map.caption;
    }

    link() {
      const brains = this.shown.map((pane) => pane.brain);
      for (const brain of brains) {
        const others = brains.filter((other) => other !== brain);
        brain.broadcastTo(others, { "2d": true, "3d": false });
      }
    }

    threshold() {
      const least = Number(this.slider.value);
      this.value.textContent = least.toFixed(2);
      for (const { brain } of this.shown) {
        const map = brain.volumes[1];
        map.cal_min = Math.max(least, 1e-6);
        map.cal_max = this.limit;
        if (this.content.below.length) {
          map.cal_minNeg = -this.limit;
          map.cal_maxNeg = -map.cal_min;
        }
        brain.updateGLVolume();
      }
    }

    tell({ mm }) {
      // while maps are read, a brain may lack its own
      if (this.figure.dataset.state !== "ready") return;
      const place = Array.from(mm).slice(0, 3);
      const parts = [`x, y, z: ${place.map(Math.round).join(", ")} mm`];
      for (const { modality, brain } of this.shown) {
        const map = brain.volumes[1];
        const value = map.getValue(...map.mm2vox(place));
        parts.push(`${modality} ${value.toFixed(2)}`);
      }
      const found = nearest(this.regions, place);
      if (found.distance <= NEAR) {
        const away = Math.round(found.distance);
        parts.push(`${found.name} (${found.network}), ${away} mm away`);
      } else {
        parts.push(`no named place within ${NEAR} mm`);
      }
      this.place.textContent = parts.join("; ");
    }
  }

  const read = async (name) => {
    const answer = await fetch(new URL(name, files));
    if (!answer.ok) throw new Error(`${name}: ${answer.status}`);
    return answer.json();
  };

  const start = async (figure, content) => {
    const [regions] = await Promise.all([
      read("regions.json"),
      import(engine.href),
    ]);
    const viewer = new Viewer(figure, content, regions);
    figure.append(viewer.top, viewer.brains, viewer.place);
    try {
      await viewer.show();
    } catch (error) {
      for (const part of [viewer.top, viewer.brains, viewer.place]) {
        part.remove();
      }
      throw error;
    }
  };

  const prepare = (figure, content) => {
    if (location.protocol === "file:") {
      explain(
        figure,
        "a browser reads no maps from a disk. Give the site's folder by a " +
          "server, such as python -m http.server, to move through the brain.",
      );
      return;
    }
    if (!document.createElement("canvas").getContext("webgl2")) {
      explain(figure, "this browser draws no volumes (it lacks WebGL 2).");
      return;
    }
    const watch = new IntersectionObserver((entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      watch.disconnect();
      start(figure, content).catch((error) => {
        explain(figure, reason(error));
      });
    });
    watch.observe(figure);
  };

  document.addEventListener("DOMContentLoaded", () => {
    drawing.fill("brain", prepare);
  });
})();
