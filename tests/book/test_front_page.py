"""What the front page shows is of the edition's tables and figure."""

import pytest
from PIL import Image
from test_findings import fine_tuned, scores

from book import front_page
from mmssl import plotting
from mmssl.ledger.artefacts import Provenance
from mmssl.plotting import look


def test_an_edition_without_tables_says_so(tmp_path):
    folder = tmp_path / "book" / "_build" / "front"
    file = front_page.write("none", tmp_path, folder)
    assert "No table of this edition" in file.read_text()
    assert "figure" not in file.read_text()


def test_an_edition_of_fine_tuning_alone_says_what_it_found(tmp_path):
    results = tmp_path / "data" / "results" / "rows"
    made = Provenance({}, {}, 0, ("mmssl.ledger.artefacts",))
    made.save(results, "clustering_", {"efficiency": fine_tuned(0.7)})
    folder = tmp_path / "book" / "_build" / "front"
    text = front_page.write("rows", tmp_path, folder).read_text()
    assert "\n*Online clustering.* With 4 labelled people" in text


def test_the_forest_plot_is_that_of_the_edition(tmp_path, monkeypatch):
    ceilings, draw = [], plotting.linear_evaluation

    def drawn_with(table, ceiling):
        """Keep what the line of labels is drawn at."""
        ceilings.append(ceiling)
        return draw(table, ceiling)

    monkeypatch.setattr(plotting, "linear_evaluation", drawn_with)
    figures = tmp_path / "figures" / "tiny"
    made = Provenance({}, {"ceiling": 0.9}, 0, ("mmssl.ledger.artefacts",))
    drawn, _ = look.canvas()
    made.save(figures, "04_", {"logistic_regression": drawn})
    results = tmp_path / "data" / "results" / "tiny"
    made.save(results, "", {"linear_evaluation": scores(0.8, 0.1)})
    folder = tmp_path / "book" / "_build" / "front"
    text = front_page.write("tiny", tmp_path, folder).read_text()
    assert "{figure} _build/front/forest.png" in text
    assert ceilings == [0.9]
    assert "(tiny edition)" in text and "2 of 2 learned" in text
    figure = figures / "04_logistic_regression.png"
    with Image.open(folder / "forest.png") as forest:
        # two pixels for each that a telephone shows
        assert forest.width == 2 * 528
    figure.write_bytes(b"another")
    with pytest.raises(ValueError, match="run page 04 again"):
        front_page.write("tiny", tmp_path, folder)
