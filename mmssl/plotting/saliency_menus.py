"""Menus of a run, a modality, a latent dimension and a person, and the
saliency that goes with them.

In JupyterLab the menus redraw the figure, and the volumes below it that can be
walked through; a page that is run from the command line, and the book, have
the figure of the first choice and no widget.
"""

import io
import os
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from nibabel.affines import apply_affine

from mmssl.plotting.look import ANATOMY, MAGNITUDE, UNUSUAL, canvas
from mmssl.plotting.slices import name_sides
from mmssl.plotting.volume_view import VolumeView

CUTS = ("sagittal", "coronal", "axial")

THRESHOLD = 0.75
"""Share of the voxels above 0 that is left without colours at first."""


def is_live() -> bool:
    """Whether somebody sits before this kernel: Jupyter's server names the
    notebook to the kernels that it starts, papermill and ``jupyter execute``
    do not.
    """
    return bool(os.environ.get("JPY_SESSION_NAME"))


def saliency_cuts(
    values: np.ndarray,
    background: np.ndarray,
    affine: np.ndarray,
    threshold: float = THRESHOLD,
    title: str = "",
) -> Figure:
    """Draw three cuts through the peak of a map, over one person's image.

    Parameters
    ----------
    values : array (X, Y, Z), in [0, 1], 0 outside the brain, RAS+.
    background : array (X, Y, Z), on the same grid.
    affine : array (4, 4), voxel to RAS+ world in mm, without a rotation.
    threshold : float
        Quantile of the voxels above 0 below which the image shows.
    title : str

    Raises
    ------
    ValueError
        When the two images differ in shape.
    """
    if values.shape != background.shape:
        raise ValueError(
            f"map of shape {values.shape} on an image of {background.shape}"
        )
    peak = np.unravel_index(int(values.argmax()), values.shape)
    place = apply_affine(affine, peak)
    limit, most = _limits(values, threshold)
    scale = Normalize(limit, most)
    figure, (axes,) = canvas(1, 3, 7.2, 2.8)
    for direction, axis in enumerate(axes):
        plane = [slice(None)] * 3
        plane[direction] = peak[direction]
        across = [i for i in range(3) if i != direction]
        extent = []
        for i in across:
            ends = np.zeros((2, 3))
            ends[1, i] = values.shape[i]
            extent += list(apply_affine(affine, ends - 0.5)[:, i])
        cut = values[tuple(plane)]
        drawn = np.ma.masked_less(cut, limit)
        options = {"extent": extent, "origin": "lower"}
        axis.imshow(background[tuple(plane)].T, cmap=ANATOMY, **options)
        axis.imshow(drawn.T, cmap=MAGNITUDE, norm=scale, **options)
        cross = {"color": UNUSUAL, "lw": 0.6}
        axis.axvline(place[across[0]], **cross)
        axis.axhline(place[across[1]], **cross)
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
        axis.set_xlabel(
            f"{CUTS[direction]}, {'xyz'[direction]} = "
            f"{place[direction]:.0f} mm"
        )
        name_sides(axis, direction)
    figure.colorbar(
        ScalarMappable(scale, MAGNITUDE), ax=axes, label="saliency", shrink=0.8
    )
    figure.suptitle(title, x=0.02, ha="left")
    return figure


def _limits(values, threshold) -> tuple[float, float]:
    """Values where colours begin and end."""
    above = values[values > 0]
    limit = float(np.quantile(above, threshold)) if above.size else 1.0
    return limit, max(float(values.max()), limit + 1e-6)


class SaliencyMenus:
    """Menus, a threshold, and the figure and the volumes that they choose.

    Parameters
    ----------
    maps_of : callable
        (run, modality, row) -> a map (X, Y, Z) of each latent dimension, such
        as `mmssl.saliency.PersonMaps`.
    runs, modalities : sequence of str
    rows : sequence of int
        Of the people, whom the menu calls by their place in it and never by
        a name.
    backgrounds : mapping
        {modality: array (pairs, X, Y, Z)}, the images of the cohort.
    affine : array (4, 4), voxel to RAS+ world in mm.
    first : mapping, optional
        {modality: dimension} that is shown first.

    Raises
    ------
    ValueError
        When there is nothing to choose from.
    """

    def __init__(
        self,
        maps_of: Callable[[str, str, int], Sequence[np.ndarray]],
        runs: Sequence[str],
        modalities: Sequence[str],
        rows: Sequence[int],
        backgrounds: Mapping[str, np.ndarray],
        affine: np.ndarray,
        first: Mapping[str, int] | None = None,
    ) -> None:
        for name, choices in (
            ("runs", runs),
            ("modalities", modalities),
            ("rows", rows),
        ):
            if not len(choices):
                raise ValueError(f"{name}: none, expected one at least")
        self.maps_of = maps_of
        self.runs = list(runs)
        self.modalities = list(modalities)
        self.rows = [int(row) for row in rows]
        self.backgrounds = backgrounds
        self.affine = affine
        self.first = dict(first or {})

    def figure(
        self,
        run: str,
        modality: str,
        dimension: int,
        person: int,
        threshold: float = THRESHOLD,
    ) -> Figure:
        """Draw one choice.

        Parameters
        ----------
        run, modality : str
        dimension : int
        person : int
            Place in `rows`, from 0.
        threshold : float
            As in `saliency_cuts`.
        """
        values, background = self._volumes(run, modality, dimension, person)
        title = f"{run}: dimension {dimension} of {modality}, person "
        return saliency_cuts(
            values, background, self.affine, threshold, f"{title}{person + 1}"
        )

    def _volumes(self, run, modality, dimension, person):
        """A map, and the image that it is drawn over."""
        row = self.rows[person]
        values = self.maps_of(run, modality, row)[dimension]
        background = np.asarray(self.backgrounds[modality][row], np.float32)
        return values, background

    def show(self, live: bool | None = None):
        """Return the menus where somebody can use them, else the figure of
        the first choice. Without ipyniivue they have the figure alone.

        Parameters
        ----------
        live : bool, optional
            Whether there is somebody; by default `is_live`.

        Returns
        -------
        ipywidgets.VBox or Figure
        """
        modality = self.modalities[0]
        choice = {
            "run": self.runs[0],
            "modality": modality,
            "dimension": self.first.get(modality, 0),
            "person": 0,
        }
        if live is None:
            live = is_live()
        if not live:
            return self.figure(**choice)
        return self._menus(choice)

    def _menus(self, choice):
        # its import registers a widget manager with the kernel
        import ipywidgets

        latent = len(
            self.maps_of(
                choice["run"], choice["modality"], self.rows[choice["person"]]
            )
        )
        people = [(f"{i + 1}", i) for i in range(len(self.rows))]
        menus = {
            "run": ipywidgets.Dropdown(options=self.runs),
            "modality": ipywidgets.Dropdown(options=self.modalities),
            "dimension": ipywidgets.IntSlider(
                value=choice["dimension"], max=latent - 1
            ),
            "person": ipywidgets.Dropdown(options=people),
            "threshold": ipywidgets.FloatSlider(
                value=THRESHOLD, max=0.95, step=0.05
            ),
        }
        picture = ipywidgets.Image(format="png")
        view = _view()

        def redraw(_change=None):
            """Draw what the menus say."""
            chosen = {name: menu.value for name, menu in menus.items()}
            menus["dimension"].max = self._last(chosen)
            chosen["dimension"] = menus["dimension"].value
            threshold = chosen.pop("threshold")
            if view is not None:
                # first, as the browser draws it while the picture is drawn
                values, background = self._volumes(**chosen)
                limits = _limits(values, threshold)
                view.show(values, background, self.affine, limits)
            picture.value = _png(self.figure(**chosen, threshold=threshold))

        for name, menu in menus.items():
            menu.description = name
            menu.observe(redraw, names="value")
        redraw()
        shown = [*menus.values(), picture]
        if view is not None:
            shown.append(view.widget)
        return ipywidgets.VBox(shown)

    def _last(self, chosen) -> int:
        """The last dimension of a run, as runs differ in their number."""
        row = self.rows[chosen["person"]]
        maps = self.maps_of(chosen["run"], chosen["modality"], row)
        return len(maps) - 1


def _view() -> VolumeView | None:
    """Volumes to walk through, where their widget is installed."""
    try:
        return VolumeView()
    except ImportError:
        return None


def _png(figure: Figure) -> bytes:
    """A figure as bytes, in its own resolution."""
    stream = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(stream, format="png")
    return stream.getvalue()
