"""A map over one person's image that a reader of JupyterLab walks through.

Three planes share one cross, drawn by NiiVue in the browser; ipyniivue brings
its script, so that nothing comes from a network.
"""

import numpy as np
from matplotlib.colors import to_rgba
from nibabel import Nifti1Image

from mmssl.plotting.look import ANATOMY, MAGNITUDE, UNUSUAL

HEIGHT = 320
"""Of the three planes and their colour bar, in pixels."""


class VolumeView:
    """Three linked planes of an image with a map over it.

    Attributes
    ----------
    widget : ipyniivue.NiiVue

    Raises
    ------
    ImportError
        Where there is no ipyniivue.
    """

    def __init__(self) -> None:
        # only who sits before JupyterLab needs it
        from ipyniivue import MultiplanarType, NiiVue

        self.widget = NiiVue(
            height=HEIGHT,
            multiplanar_layout=MultiplanarType.ROW,
            multiplanar_equal_size=True,
            is_colorbar=True,
            show_all_orientation_markers=True,
            multiplanar_pad_pixels=16,
            crosshair_color=to_rgba(UNUSUAL),
            crosshair_width_unit="mm",
            # a file that is dropped on it would be drawn as this person
            drag_and_drop_enabled=False,
        )

    def show(
        self,
        values: np.ndarray,
        background: np.ndarray,
        affine: np.ndarray,
        limits: tuple[float, float],
    ) -> None:
        """Draw a map over an image; the cross goes to the peak of a map that
        is not there yet.

        Parameters
        ----------
        values, background : array (X, Y, Z), RAS+
            A map and the image below it, on one grid.
        affine : array (4, 4), voxel to RAS+ world in mm.
        limits : tuple of float
            Values of the map where colours begin, below which the image
            shows, and end.
        """
        drawn = self.widget.volumes
        greys = (float(background.min()), float(background.max()))
        volumes = [
            self._volume("image", background, affine, greys),
            self._volume("map", values, affine, limits),
        ]
        self.widget.load_volumes(volumes)
        for volume in drawn:
            if volume not in volumes:
                volume.close()
        if volumes[1] not in drawn:
            peak = np.unravel_index(int(values.argmax()), values.shape)
            # from 0 to 1, edge to edge, along each axis
            place = (np.array(peak) + 0.5) / values.shape
            self.widget.scene.crosshair_pos = place.tolist()

    def _volume(self, name, array, affine, limits):
        """The volume with these voxels, the one that is drawn if it has
        them.
        """
        from ipyniivue import Volume

        image = Nifti1Image(np.asarray(array, np.float32), affine)
        image.header.set_xyzt_units("mm")
        content = image.to_bytes()
        for volume in self.widget.volumes:
            if volume.name == f"{name}.nii" and volume.data == content:
                volume.cal_min, volume.cal_max = limits
                return volume
        is_map = name == "map"
        return Volume(
            name=f"{name}.nii",
            data=content,
            colormap=MAGNITUDE if is_map else ANATOMY,
            colorbar_visible=is_map,
            cal_min=limits[0],
            cal_max=limits[1],
        )
