"""The objective language: "CR-XX-CC" is a sum of terms over the features of
the modalities.

    volumes {"T1": x, "fALFF": x}
        --encoders--> features {"T1": Features(z, local), …}
        --terms--> loss, named parts

`parse` reads a name, `build` makes the module that owns encoders, heads,
decoders and terms. A new term is a class in a file of this room and a line in
`TERMS`, or a user's anywhere, named "module:Class"; what it needs is said by
its own attributes (:class:`Term`). Nothing here assumes two modalities.
"""

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from mmssl.models.by_name import is_named, named
from mmssl.models.dcgan import Decoder, Encoder
from mmssl.models.heads import ConvolutionalHead
from mmssl.models.unet import UNetEncoder
from mmssl.objectives.clustering import SwAV
from mmssl.objectives.contrastive import CC, CR, RR, XX
from mmssl.objectives.correlation import CCA
from mmssl.objectives.generative import AE, MMVAE
from mmssl.objectives.preservation import PCRL
from mmssl.objectives.supervised import CE
from mmssl.objectives.term import Batch, Context, Edge, Term
from mmssl.objectives.views import merge

TERMS: dict[str, type[Term]] = {
    "CR": CR,
    "XX": XX,
    "CC": CC,
    "RR": RR,
    "AE": AE,
    "CCA": CCA,
    "MMVAE": MMVAE,
    "CE": CE,
    "PCRL": PCRL,
    "SwAV": SwAV,
}
"""Every term of the language, by its name."""

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
        "Supervised" is "CE". A term of a user's is "module:Class":
        "RR-mine:VICReg". The name may come from a file: what it names is
        imported, and is refused unless it is a subclass of `Term`.

    Returns
    -------
    tuple of str
        The terms in the order written, in 004's spelling.

    Raises
    ------
    ValueError
        For a term that is unknown or comes twice, or a user's that is not
        found, is no `Term`, or has the name of one of the package's.

    Examples
    --------
    >>> parse("L-CL-CS")
    ('CR', 'XX', 'CC')
    """
    spelling = NAMED.get(name, name)
    words = tuple(SYNONYMS.get(word, word) for word in spelling.split("-"))
    labels = [label(word) for word in words]
    for word in words:
        if word not in TERMS and not is_named(word):
            known = ", ".join([*TERMS, *SYNONYMS, *NAMED])
            raise ValueError(
                f"objective {name!r}: unknown term {word!r}, "
                f"expected of: {known}, or 'module:Class' of your own"
            )
        if labels.count(label(word)) > 1:
            raise ValueError(
                f"objective {name!r}: term {label(word)!r} comes twice"
            )
        term_class(word)
    return words


def label(word: str) -> str:
    """What a term is called in histories, weights and figures: as in the name
    of the objective, a user's "module:Class" by its class alone.
    """
    return word.rpartition(":")[2]


def term_class(word: str) -> type[Term]:
    """The class of a term, of `TERMS` or a user's.

    Raises
    ------
    ValueError
        As :func:`parse`.
    """
    if word in TERMS:
        return TERMS[word]
    found = named(word, "term", "mine:VICReg")
    if not inspect.isclass(found) or not issubclass(found, Term):
        raise ValueError(
            f"term {word!r}: {found!r} found, expected a subclass of "
            "mmssl.objectives.Term"
        )
    if label(word) in {*TERMS, *SYNONYMS, *NAMED}:
        raise ValueError(
            f"term {word!r}: the package has one of this name, expected "
            "another name"
        )
    return found


def options_of(name: str) -> dict[str, object]:
    """Options that the terms of an objective take, sorted, with their
    defaults.

    Parameters
    ----------
    name : str
        In the language of :func:`parse`.
    """
    accepted = {}
    for word in parse(name):
        parameters = inspect.signature(term_class(word)).parameters
        for option, parameter in parameters.items():
            if parameter.kind is parameter.POSITIONAL_OR_KEYWORD:
                accepted[option] = parameter.default
    for given in ("modalities", "latent"):
        accepted.pop(given, None)
    return dict(sorted(accepted.items()))


def decodes_maps(words: Sequence[str]) -> bool:
    """Whether a term reads an encoder's maps, so that DCGAN's will not do."""
    return any(term_class(word).decoder == "maps" for word in words)


def usual_backbone(name: str) -> str | None:
    """The encoder of an objective for which none is named, as "module:Class";
    None for DCGAN's.
    """
    if decodes_maps(parse(name)):
        return f"{UNetEncoder.__module__}:{UNetEncoder.__name__}"
    return None


def unused_imports(name: str) -> frozenset[tuple[str, str]]:
    """What is imported here for other objectives than a given one.

    Parameters
    ----------
    name : str
        In the language of :func:`parse`.

    Returns
    -------
    frozenset of (module, module that it imports)
        For `mmssl.ledger.code.fingerprint`: the modules of the terms that the
        objective lacks, and of networks that only others have.
    """
    terms = [term_class(word) for word in parse(name)]
    unused = {term.__module__ for term in TERMS.values()}
    unused -= {term.__module__ for term in terms}
    if not any(term.local_head for term in terms):
        unused.add(ConvolutionalHead.__module__)
    if not decodes_maps(parse(name)):
        unused.add(UNetEncoder.__module__)
    return frozenset((__name__, module) for module in unused)


class Objective(nn.Module):
    """Encoders, heads, decoders and weighted terms; `state_dict` is the whole
    of it.

    Total loss = Σ weight · loss + Σ penalty. Made by :func:`build`.

    Attributes
    ----------
    modalities : tuple of str
    weights : dict of float
        Of each term's loss, by the term's :func:`label`.
    views : dict
        Views that the terms need, by name.
    sampling, task : str or None
        How rows must be drawn, and the label that supervised terms learn.
    momentum_rate : float or None
        Of the momentum copy of encoders and heads.
    """

    def __init__(
        self,
        encoders: Mapping[str, nn.Module],
        heads: Mapping[str, nn.Module],
        decoders: Mapping[str, nn.Module],
        terms: Mapping[str, Term],
        weights: Mapping[str, float],
        further_heads: Mapping[str, nn.ModuleDict] | None = None,
    ):
        super().__init__()
        self.modalities = tuple(encoders)
        self.encoders = nn.ModuleDict(encoders)
        self.heads = nn.ModuleDict(heads)
        self.further_heads = nn.ModuleDict(further_heads or {})
        self.decoders = nn.ModuleDict(decoders)
        self.terms = nn.ModuleDict(terms)
        self.weights = {name: float(weights.get(name, 1.0)) for name in terms}
        self.views = merge([term.views for term in terms.values()])
        self.sampling = _sampling(terms)
        self.task = _agreed("task", terms)
        self.momentum_rate = _agreed("momentum", terms)
        if self.momentum_rate is not None:
            networks = copy.deepcopy(self._encoders_and_heads())
            self.momentum_copy = networks.requires_grad_(False)

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
        total = 0.0
        parts = {}
        for name, term in self.terms.items():
            values = term(ctx)
            total = total + self.weights[name] * values["loss"]
            total = total + values.get("penalty", 0.0)
            for key, value in values.items():
                parts[f"{name}/{key}"] = value
        return total, parts, ctx

    def chance(self, parts: Mapping[str, Tensor]) -> Tensor | None:
        """Total loss, without penalties, of features that say nothing: of the
        named parts of a step; None where a term has no such value.
        """
        total = 0.0
        for name in self.terms:
            if f"{name}/chance" not in parts:
                return None
            total = total + self.weights[name] * parts[f"{name}/chance"]
        return total

    @torch.no_grad()
    def update_momentum(self) -> None:
        """Move the momentum copy, buffers included, towards the trained
        networks.
        """
        if self.momentum_rate is None:
            return
        trained = self._encoders_and_heads().state_dict()
        copied = self.momentum_copy
        # each once, also where modalities share an encoder
        for name, slow in [
            *copied.named_parameters(),
            *copied.named_buffers(),
        ]:
            if slow.is_floating_point():
                slow.lerp_(trained[name], 1 - self.momentum_rate)
            else:
                slow.copy_(trained[name])

    def _encoders_and_heads(self) -> nn.ModuleDict:
        """The networks that the momentum copy follows."""
        return nn.ModuleDict(
            {
                "encoders": self.encoders,
                "heads": self.heads,
                "further_heads": self.further_heads,
            }
        )


def _agreed(attribute: str, terms: Mapping[str, Term]):
    """The one value that terms ask of an attribute; None if none asks."""
    asked = {name: getattr(term, attribute) for name, term in terms.items()}
    values = {value for value in asked.values() if value is not None}
    if len(values) > 1:
        raise ValueError(f"terms disagree on {attribute}: {asked}")
    return next(iter(values), None)


def _sampling(terms: Mapping[str, Term]) -> str | None:
    """How rows are drawn.

    By modality where every term takes images that are no pairs; by class
    where every term learns the labels: balancing classes drops the rows
    without one, which self-supervised terms want.
    """
    asked = {term.sampling for term in terms.values()}
    if None in asked:
        return None
    return "modality" if "modality" in asked else "class"


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
        Weight of each term's loss by its :func:`label`, 1 where absent;
        penalties are not weighted.
    backbone : callable, optional
        Modality -> encoder returning `Features`, with attributes ``latent``
        and ``local_channels``; by default the DCGAN encoder of the sizes
        below, or a U-Net of their width where a term decodes its maps.
    in_channels, width, latent, size, dims, dropout
        Of the DCGAN encoder and decoder; ``in_channels`` may differ by
        modality.
    output : {None, "sigmoid", "tanh"}
        Output activation of the decoders.
    **options
        Parameters of the terms, handed to each term whose constructor names
        them; the terms' own docstrings say what they mean.

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
    weights = weights or {}
    _check_weights(name, words, weights)
    _check_modalities(name, words, modalities)
    channels = _channels(modalities, in_channels)
    shape = {"width": width, "size": size, "dims": dims}

    def usual(m: str) -> nn.Module:
        """The papers' encoder of a modality."""
        if decodes_maps(words):
            return UNetEncoder(channels[m], **shape)
        return Encoder(channels[m], latent=latent, dropout=dropout, **shape)

    # the order of making is the order in which initial weights are drawn
    make_encoder = backbone or usual
    is_shared = options.get("shared", options_of(name).get("shared", False))
    if is_shared:
        encoders = _shared_encoder(name, modalities, channels, make_encoder)
    else:
        encoders = {m: make_encoder(m) for m in modalities}
    length = next(iter(encoders.values())).latent  # of z
    terms = _make_terms(name, words, tuple(modalities), length, options)
    heads, decoders = {}, {}
    if any(term.local_head for term in terms.values()):
        for m, encoder in encoders.items():
            local = encoder.local_channels
            heads[m] = ConvolutionalHead(local, length, dims)
    read = _agreed("decoder", terms)
    further_heads: dict[str, nn.ModuleDict] = {}
    for m, encoder in encoders.items():
        if read == "latent":
            decoders[m] = Decoder(
                channels[m], latent=length, activation=output, **shape
            )
        if read == "maps":
            decoders[m] = _decoder_of_maps(name, encoder, channels[m], output)
        if is_shared and further_heads:
            further_heads[m] = next(iter(further_heads.values()))
            continue
        own = {}
        for term in terms.values():
            own |= term.heads(encoder, dims)
        if own:
            further_heads[m] = nn.ModuleDict(own)
    return Objective(encoders, heads, decoders, terms, weights, further_heads)


def _shared_encoder(
    name: str,
    modalities: Sequence[str],
    channels: Mapping[str, int],
    make: Callable[[str], nn.Module],
) -> dict[str, nn.Module]:
    """One encoder for all modalities; ValueError where their channels
    differ.
    """
    if len(set(channels.values())) > 1:
        raise ValueError(
            f"objective {name!r}: one encoder for images of {channels} "
            "channels, expected the same, or shared=False"
        )
    return dict.fromkeys(modalities, make(modalities[0]))


def _decoder_of_maps(
    name: str, encoder: nn.Module, channels: int, output: str | None
) -> nn.Module:
    """The decoder that an encoder with maps has; ValueError for one without
    any.
    """
    if not hasattr(encoder, "decoder"):
        raise ValueError(
            f"objective {name!r}: decodes an encoder's maps, and "
            f"{type(encoder).__name__} has no `decoder`; expected one such as "
            "mmssl.models.unet:UNetEncoder"
        )
    return encoder.decoder(channels, output)


def _check_weights(
    name: str, words: Sequence[str], weights: Mapping[str, float]
) -> None:
    labels = tuple(label(word) for word in words)
    if unknown := set(weights) - set(labels):
        raise ValueError(
            f"objective {name!r}: weights for {sorted(unknown)}, "
            f"expected of {labels}"
        )


def _check_modalities(
    name: str, words: Sequence[str], modalities: Sequence[str]
) -> None:
    if len(set(modalities)) != len(modalities) or not modalities:
        raise ValueError(
            f"objective {name!r}: modalities {modalities}, "
            "expected distinct names"
        )
    pairwise = sorted(word for word in words if term_class(word).pairwise)
    if len(modalities) < 2 and pairwise:
        raise ValueError(
            f"objective {name!r}: {pairwise} need two modalities, got one"
        )


def _channels(
    modalities: Sequence[str], in_channels: Mapping[str, int] | int
) -> dict[str, int]:
    """Input channels of each modality; one where a mapping is silent."""
    if isinstance(in_channels, Mapping):
        return {m: in_channels.get(m, 1) for m in modalities}
    return dict.fromkeys(modalities, in_channels)


def _make_terms(
    name: str,
    words: Sequence[str],
    modalities: tuple[str, ...],
    latent: int,
    options: Mapping,
) -> dict[str, Term]:
    """Make the terms, handing each argument to those whose constructor names
    it.
    """
    known = options_of(name)
    if unknown := set(options) - set(known):
        raise ValueError(
            f"objective {name!r}: unknown {sorted(unknown)}, "
            f"expected of {sorted(known)}"
        )
    arguments = {"modalities": modalities, "latent": latent, **options}
    terms = {}
    for word in words:
        term = term_class(word)
        accepted = inspect.signature(term).parameters
        own = {k: v for k, v in arguments.items() if k in accepted}
        terms[label(word)] = term(**own)
    return terms
