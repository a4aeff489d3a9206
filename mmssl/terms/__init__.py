"""The words of the objective language: one class a term, named as it is written.

Adding an objective is adding a class to a module of this package and its name below.
"""

from mmssl.terms.contrastive import CC, CR, RR, XX
from mmssl.terms.correlation import CCA
from mmssl.terms.generative import AE, MMVAE
from mmssl.terms.supervised import CE
from mmssl.terms.term import Edge, Node, Term

TERMS = {term.__name__: term for term in (CR, XX, CC, RR, AE, CCA, MMVAE, CE)}

__all__ = ["AE", "CC", "CCA", "CE", "CR", "MMVAE", "RR", "TERMS", "XX", "Edge", "Node", "Term"]
