"""The objective language: "CR-XX-CC" is a sum of terms over the features of
the modalities.

    volumes {"T1": x, "fALFF": x} --encoders--> Features(z, local) --terms--> loss, named parts

`parse` reads a name, `build` makes the module that owns encoders, heads,
decoders and terms. A new objective is a class in a file of this room and its
name in `TERMS`. Nothing here assumes two modalities.
"""

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from mmssl.models.dcgan import Decoder, Encoder
from mmssl.models.heads import ConvolutionalHead
from mmssl.objectives.contrastive import CC, CR, RR, XX
from mmssl.objectives.correlation import CCA
from mmssl.objectives.generative import AE, MMVAE
from mmssl.objectives.supervised import CE
from mmssl.objectives.term import Batch, Context, Edge, Term
from mmssl.objectives.views import merge

# 001 and 000 spell the connections L, CL, CS, S; two combinations have names
# of their own
SYNONYMS = {"L": "CR", "CL": "XX", "CS": "CC", "S": "RR"}
NAMED = {"DCCAE": "CCA-AE", "Supervised": "CE"}


def parse(name: str) -> tuple[str, ...]:
    """Read the name of an objective.

    Parameters
    ----------
    name : str
        Terms joined by "-", case-sensitive, in either spelling of the papers:
        "CR-XX-CC" (004) is "L-CL-CS" (001, 000); "RR-AE" is "S-AE";
        "Supervised" is "CE".

    Returns
    -------
    tuple of str
        The terms in the order written, in 004's spelling.

    Raises
    ------
    ValueError
        For a term that is unknown or comes twice.

    Examples
    --------
    >>> parse("L-CL-CS")
    ('CR', 'XX', 'CC')
    """
    words = tuple(
        SYNONYMS.get(word, word) for word in NAMED.get(name, name).split("-")
    )
    for word in words:
        if word not in TERMS:
            known = ", ".join([*TERMS, *SYNONYMS, *NAMED])
            raise ValueError(
                f"objective {name!r}: unknown term {word!r}, expected of: {known}"
            )
        if words.count(word) > 1:
            raise ValueError(f"objective {name!r}: term {word!r} comes twice")
    return words


class Objective(nn.Module):
    """Encoders, heads, decoders and weighted terms; `state_dict` is the whole
    of it.

    Total loss = Σ weight · loss + Σ penalty. Made by :func:`build`.
    """

    def __init__(
        self,
        encoders: Mapping[str, nn.Module],
        heads: Mapping[str, nn.Module],
        decoders: Mapping[str, nn.Module],
        terms: Mapping[str, Term],
        weights: Mapping[str, float],
    ):
        super().__init__()
        self.modalities = tuple(encoders)
        self.encoders, self.heads = (
            nn.ModuleDict(encoders),
            nn.ModuleDict(heads),
        )
        self.decoders, self.terms = (
            nn.ModuleDict(decoders),
            nn.ModuleDict(terms),
        )
        self.weights = {name: float(weights.get(name, 1.0)) for name in terms}
        self.views = merge([term.views for term in terms.values()])
        self.sampling = _agreed("sampling", terms, needs_all="class")
        self.momentum_rate = _agreed("momentum", terms)
        if self.momentum_rate is not None:
            trained = nn.ModuleDict(
                {"encoders": self.encoders, "heads": self.heads}
            )
            self.momentum_copy = copy.deepcopy(trained).requires_grad_(False)

    @property
    def supervised(self) -> bool:
        """Whether any term uses labels."""
        return any(term.supervised for term in self.terms.values())

    @property
    def graph(self) -> dict[str, list[Edge]]:
        """Edges of each term, by its name: the same that the loss is computed
        over.
        """
        return {
            name: term.graph(self.modalities)
            for name, term in self.terms.items()
        }

    def forward(
        self, batch: Batch
    ) -> tuple[Tensor, dict[str, Tensor], Context]:
        """Total loss, its named parts (unweighted) and the context they were
        computed in.
        """
        ctx = Context(self, batch)
        total, parts = 0.0, {}
        for name, term in self.terms.items():
            out = term(ctx)
            total = (
                total
                + self.weights[name] * out["loss"]
                + out.get("penalty", 0.0)
            )
            parts |= {f"{name}/{key}": value for key, value in out.items()}
        return total, parts, ctx

    @torch.no_grad()
    def update_momentum(self) -> None:
        """Move the momentum copy, buffers included, towards the trained
        networks.
        """
        if self.momentum_rate is None:
            return
        trained = {
            **_state("encoders", self.encoders),
            **_state("heads", self.heads),
        }
        for name, slow in self.momentum_copy.state_dict().items():
            if slow.is_floating_point():
                slow.lerp_(trained[name], 1 - self.momentum_rate)
            else:
                slow.copy_(trained[name])


def _state(prefix: str, module: nn.Module) -> dict[str, Tensor]:
    return {
        f"{prefix}.{name}": value
        for name, value in module.state_dict().items()
    }


def _agreed(
    attribute: str, terms: Mapping[str, Term], needs_all: str | None = None
):
    """The one value that terms ask of an attribute; None if none asks.

    A value of ``needs_all`` only holds when every term asks for it: balancing
    classes drops unlabelled rows, which self-supervised terms want.
    """
    asked = {name: getattr(term, attribute) for name, term in terms.items()}
    values = {value for value in asked.values() if value is not None}
    if needs_all in values and len(set(asked.values())) > 1:
        values.discard(needs_all)
    if len(values) > 1:
        raise ValueError(f"terms disagree on {attribute}: {asked}")
    return next(iter(values), None)


def _make_terms(
    name: str, words: Sequence[str], given: Mapping, options: Mapping
) -> dict:
    """Make the terms, handing each option to those whose constructor names
    it.
    """
    takes = {
        word: set(inspect.signature(TERMS[word]).parameters) for word in words
    }
    if unknown := set(options) - set().union(*takes.values()):
        known = sorted(set().union(*takes.values()) - set(given))
        raise ValueError(
            f"objective {name!r}: unknown {sorted(unknown)}, expected of {known}"
        )
    known = {**given, **options}
    return {
        word: TERMS[word](
            **{k: v for k, v in known.items() if k in takes[word]}
        )
        for word in words
    }


def build(
    name: str,
    modalities: Sequence[str] = ("T1", "fALFF"),
    weights: Mapping[str, float] | None = None,
    backbone: Callable[[str], nn.Module] | None = None,
    *,
    in_channels: Mapping[str, int] | int = 1,
    width: int = 32,
    latent: int = 64,
    size: int = 64,
    dims: int = 3,
    dropout: float = 0.0,
    output: str | None = None,
    **options,
) -> Objective:
    """Make an objective from its name.

    Parameters
    ----------
    name : str
        In the language of :func:`parse`.
    modalities : sequence of str
        Two or more for terms over pairs, one or more otherwise.
    weights : mapping, optional
        Weight of each term's loss, 1 where absent; penalties are not weighted.
    backbone : callable, optional
        Modality -> encoder returning `Features`, with attributes ``latent``
        and ``local_channels``; by default the DCGAN encoder of the sizes
        below.
    in_channels, width, latent, size, dims, dropout
        Of the DCGAN encoder and decoder; ``in_channels`` may differ by
        modality.
    output : {None, "sigmoid", "tanh"}
        Output activation of the decoders.
    **options
        Handed to the terms that take them: clip, penalty, negatives, exact;
        ridge, norm, memory; samples, looser, likelihood_scale, llik_scaling,
        learn_prior; classes, task.

    Returns
    -------
    Objective

    Raises
    ------
    ValueError
        For an unknown term, option or weight, or a pairwise objective of one
        modality.
    """
    words = parse(name)
    if unknown := set(weights or {}) - set(words):
        raise ValueError(
            f"objective {name!r}: weights for {sorted(unknown)}, expected of {words}"
        )
    if len(set(modalities)) != len(modalities) or not modalities:
        raise ValueError(
            f"objective {name!r}: modalities {modalities}, expected distinct names"
        )
    if len(modalities) < 2 and (
        pairwise := set(words) & {"XX", "CC", "RR", "CCA"}
    ):
        raise ValueError(
            f"objective {name!r}: {sorted(pairwise)} need two modalities, got one"
        )
    channels = in_channels if isinstance(in_channels, Mapping) else {}
    channels = {
        m: channels.get(m, 1) if channels else in_channels for m in modalities
    }
    shape = {"width": width, "latent": latent, "size": size, "dims": dims}

    def dcgan(m: str) -> nn.Module:
        return Encoder(channels[m], dropout=dropout, **shape)

    encoders = {m: (backbone or dcgan)(m) for m in modalities}
    latent = next(iter(encoders.values())).latent
    given = {"modalities": tuple(modalities), "latent": latent}
    terms = _make_terms(name, words, given, options)
    heads = decoders = {}
    if any(term.local_head for term in terms.values()):
        heads = {
            m: ConvolutionalHead(e.local_channels, latent, dims)
            for m, e in encoders.items()
        }
    if any(term.decoder for term in terms.values()):
        shape["latent"] = latent  # of the backbone
        decoders = {
            m: Decoder(channels[m], activation=output, **shape)
            for m in modalities
        }
    return Objective(encoders, heads, decoders, terms, weights or {})


TERMS = {term.__name__: term for term in (CR, XX, CC, RR, AE, CCA, MMVAE, CE)}
